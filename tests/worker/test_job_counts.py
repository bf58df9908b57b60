"""Jobs where something stands in the way: what they say of themselves stays true."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bursar import sessions, workspaces
from bursar.agents import Agent
from bursar.errors import Fenced, NotFound
from bursar.jobs import making, reading
from bursar.jobs.reading import JobView
from bursar.jobs.results import ItemResult, read_results
from bursar.models import ModelRequest
from bursar.pruning import delete_tree
from bursar.store.scripts import jobs as scripts
from bursar.testing import Reply, ScriptedModel
from support.jobs import make, over, results
from support.workers import WORKSPACE, Site, wait_until, working


class Switched:
    """A model that does what ``mode`` says at the time: answer, fail, or be slow."""

    def __init__(self, mode: str = "answer") -> None:
        self.mode = mode

    def __call__(self, request: ModelRequest) -> Reply:
        if self.mode == "fail":
            return Reply(error=ValueError("it broke"))
        return Reply(text='{"n": 1}', delay_s=3600 if self.mode == "slow" else 0)

    @property
    def agent(self) -> Agent:
        return Agent(name="leaf", model=ScriptedModel([self] * 2000), max_output_tokens=64)


@pytest.mark.parametrize(
    "caps", [{"max_sessions": 9}, {"max_queued": 4}, {"max_sessions": 2}], ids=str
)
async def test_a_cap_that_leaves_a_few_places_has_a_job_use_them(
    place: Site, caps: dict[str, int | bool | None]
) -> None:
    """One place is the job's own."""
    await workspaces.update(place.store, WORKSPACE, caps)
    async with working(place.store, Switched().agent, slots=8):
        job = await make(place, *map(str, range(25)))
        view = await over(place, job.id)
    assert (view.state, view.succeeded) == ("succeeded", 25)


async def _consistent(place: Site, job: str) -> JobView:
    """The job, whose counts have to be those of its items."""
    view = await reading.get(place.store, WORKSPACE, job)
    kinds = Counter(each.state for each in await results(place, job))
    counts = {
        "succeeded": view.succeeded,
        "waiting": view.waiting,
        "open": view.open,
        "failed": view.failed - kinds["cancelled"],
        "cancelled": kinds["cancelled"],
    }
    assert kinds == Counter({state: count for state, count in counts.items() if count})
    return view


@pytest.mark.parametrize("attempts", [1, 2])
async def test_counts_are_those_of_the_items_whatever_was_broken_off(
    place: Site, attempts: int
) -> None:
    model = Switched("fail")
    async with working(place.store, model.agent, slots=8, max_tree_running=3):
        job = await make(place, *map(str, range(20)), attempts=attempts)
        await over(place, job.id)
        assert (await _consistent(place, job.id)).failed == 20
        for _ in range(2):
            model.mode = "slow"
            again = await _retry(place, job.id)

            async def begun() -> bool:
                return (await reading.get(place.store, WORKSPACE, job.id)).running >= 3

            await wait_until("items at work", begun)
            await place.inputs.cancel(WORKSPACE, again.turn, "enough")
            await over(place, job.id)
            stopped = await _consistent(place, job.id)
            assert (stopped.failed, stopped.waiting) == (6, 14)
            waiting = [each for each in await results(place, job.id) if each.state == "waiting"]
            assert all(each.attempts >= attempts and each.cost_microusd for each in waiting)
            assert not any(each.output or each.code or each.reason for each in waiting)
        model.mode = "answer"
        await _retry(place, job.id)
        view = await over(place, job.id)
    assert (view.state, view.succeeded, view.failed, view.waiting) == ("succeeded", 20, 0, 0)
    await _consistent(place, job.id)


async def test_a_round_whose_beginning_broke_off_is_begun_with_the_same_items(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its items are listed in parts; whoever lists them may die between two."""
    monkeypatch.setattr(scripts, "ROUND_PART", 2)
    add, model, parts = scripts.add_to_round, Switched("fail"), 0

    async def breaks(*args: Any, at: int, begins: bool) -> None:
        nonlocal parts
        if at == 2 and not parts:
            parts += 1
            raise Fenced("it dies here")
        if begins and at:
            model.mode = "answer"
        await add(*args, at=at, begins=begins)

    monkeypatch.setattr(scripts, "add_to_round", breaks)
    async with working(place.store, model.agent, lease_ms=1000):
        job = await make(place, *map(str, range(6)), attempts=2)
        view = await over(place, job.id)
    assert parts == 1
    assert (view.state, view.succeeded, view.failed, view.waiting) == ("succeeded", 6, 0, 0)
    assert [each.attempts for each in await results(place, job.id)] == [2] * 6


async def _retry(place: Site, job: str) -> JobView:
    return await making.start_again(place.store, place.registry, place.bells, WORKSPACE, job)


async def test_an_item_whose_session_was_deleted_hides_no_other(place: Site) -> None:
    schema = {"type": "object", "required": ["n"]}
    async with working(place.store, Switched().agent):
        job = await make(place, "one", "two", output=schema)
        await over(place, job.id)
    first = (await results(place, job.id))[0].session
    await sessions.delete(place.store, WORKSPACE, first)
    found = await results(place, job.id)
    assert [each.state for each in found] == ["succeeded", "succeeded"]
    assert [each.output for each in found] == ["", {"n": 1}]
    assert [each.reason for each in found] == ["its session was deleted", ""]


async def test_results_break_off_when_the_job_is_deleted(place: Site) -> None:
    async with working(place.store, Switched().agent, slots=8):
        job = await make(place, *map(str, range(60)))
        await over(place, job.id)
    found = read_results(place.store, WORKSPACE, job.id)
    assert (await anext(found)).state == "succeeded"
    await delete_tree(place.store, WORKSPACE, job.id)
    with pytest.raises(NotFound) as refused:
        await anext(_rest_of(found))
    assert refused.value.code == "job_not_found"


async def _rest_of(found: AsyncIterator[ItemResult]) -> AsyncIterator[None]:
    """Read to the end; yields nothing."""
    async for each in found:
        assert each.state == "succeeded"
    yield
