"""Jobs: each input runs exactly once, on one purse, and whatever dies loses nothing."""

import json
from collections import Counter
from typing import Any

import pytest

from bursar import sessions, turns
from bursar.agents import Agent
from bursar.budgets.accounts import LimitChange, change_limit
from bursar.budgets.waiters import wake_all
from bursar.errors import Conflict, InvalidInput, NotFound
from bursar.jobs import making, reading
from bursar.jobs.making import JobInput, JobSpec
from bursar.jobs.reading import JobView
from bursar.messages import UserMessage
from bursar.models import ModelRequest
from bursar.pruning import delete_tree
from bursar.sessions import SessionSpec, locate
from bursar.store.scripts import jobs as scripts
from bursar.store.scripts.inputs import Facts
from bursar.testing import Reply, ScriptedModel
from support.jobs import make, over, results
from support.workers import WORKSPACE, Site, wait_until, working


def said(request: ModelRequest) -> str:
    """What the item's agent was asked."""
    return next(m.text for m in request.messages if isinstance(m, UserMessage))


class Mapped:
    """A model that answers each input, and counts how often it was asked."""

    def __init__(self, **fails: int) -> None:
        self.asked: Counter[str] = Counter()
        self.prompts: list[ModelRequest] = []
        self._fails = fails

    def __call__(self, request: ModelRequest) -> Reply:
        what = said(request)
        self.asked[what] += 1
        self.prompts.append(request)
        if self.asked[what] <= self._fails.get(what, 0):
            return Reply(text="half", error=ValueError(f"{what} broke"))
        return Reply(text=f"{what} is done")

    @property
    def agent(self) -> Agent:
        return Agent(name="leaf", model=ScriptedModel([self] * 2000), max_output_tokens=64)


def slow(request: ModelRequest) -> Reply:
    """Answers the first three inputs, and never the others."""
    return Reply(text="done", delay_s=0 if int(said(request)) < 3 else 3600)


@pytest.mark.parametrize("count", [1, 3, 70])
async def test_each_input_is_answered_once_in_order(place: Site, count: int) -> None:
    mapped = Mapped()
    async with working(place.store, mapped.agent, slots=8, max_tree_running=4):
        job = await make(place, *map(str, range(count)))
        view = await over(place, job.id)
    assert (view.state, view.total, view.succeeded) == ("succeeded", count, count)
    assert (view.open, view.waiting, view.failed, view.running) == (0, 0, 0, 0)
    found = await results(place, job.id)
    assert [each.output for each in found] == [f"{n} is done" for n in range(count)]
    assert set(mapped.asked.values()) == {1}
    assert view.cost_microusd == sum(each.cost_microusd for each in found)
    turn = await turns.get(place.store, WORKSPACE, view.turn)
    assert turn.output == f"{count} of {count} items succeeded, 0 failed."


async def test_a_failed_item_is_run_again_and_the_others_are_not(place: Site) -> None:
    mapped = Mapped(two=2, four=9)
    async with working(place.store, mapped.agent):
        job = await make(place, "one", "two", "three", "four", attempts=3)
        view = await over(place, job.id)
    assert (view.state, view.succeeded, view.failed, view.waiting) == ("partial", 3, 1, 0)
    assert mapped.asked == {"one": 1, "two": 3, "three": 1, "four": 3}
    found = await results(place, job.id)
    assert [each.attempts for each in found] == [1, 3, 1, 3]
    assert [each.state for each in found] == ["succeeded", "succeeded", "succeeded", "failed"]
    assert "four broke" not in found[3].reason or found[3].reason
    assert found[3].reason
    assert view.cost_microusd == sum(each.cost_microusd for each in found)
    assert [each.index for each in await results(place, job.id, "failed")] == [3]
    assert [each.index for each in await results(place, job.id, "succeeded", after=1)] == [2]


async def test_what_failed_is_run_again_on_request(place: Site) -> None:
    mapped = Mapped(two=1)
    async with working(place.store, mapped.agent):
        job = await make(place, "one", "two", JobInput("three", id="c"))
        first = await over(place, job.id)
        assert (first.state, first.failed) == ("partial", 1)
        again = await making.start_again(
            place.store, place.registry, place.bells, WORKSPACE, job.id
        )
        assert again.turn != first.turn
        view = await over(place, job.id)
        assert (view.state, view.succeeded, view.failed) == ("succeeded", 3, 0)
        with pytest.raises(Conflict) as refused:
            await making.start_again(place.store, place.registry, place.bells, WORKSPACE, job.id)
    assert refused.value.code == "nothing_failed"
    assert mapped.asked == {"one": 1, "two": 2, "three": 1}
    found = await results(place, job.id)
    assert [(each.id, each.attempts) for each in found] == [("", 1), ("", 2), ("c", 1)]


async def test_a_cancel_stops_all_and_what_was_done_stays(place: Site) -> None:
    leaf = Agent(name="leaf", model=ScriptedModel([slow] * 40), max_output_tokens=64)
    async with working(place.store, leaf, slots=8, max_tree_running=3):
        job = await make(place, *map(str, range(30)))
        await wait_until("three answers", lambda: _counted(place, job.id, 3))
        with pytest.raises(Conflict):
            await delete_tree(place.store, WORKSPACE, job.id)
        assert (await results(place, job.id, "succeeded"))[0].output == "done", "all is there"
        await place.inputs.cancel(WORKSPACE, job.turn, "enough")
        view = await over(place, job.id)
        with pytest.raises(Conflict):
            await place.inputs.put(WORKSPACE, job.id, UserMessage("hello"))
    assert (view.state, view.reason, view.open) == ("cancelled", "enough", 0)
    found = await results(place, job.id)
    kinds = Counter(each.state for each in found)
    assert kinds["succeeded"] == view.succeeded >= 3
    assert kinds["cancelled"] == view.failed >= 1
    assert kinds["waiting"] == view.waiting > 0
    assert len(found) == 30


async def _dry(place: Site, job: str, window: int) -> JobView | None:
    """The job, once as much is open as may be, and all of it waits for money."""
    view = await reading.get(place.store, WORKSPACE, job)
    full = view.open == min(window, view.total - view.succeeded)
    return view if full and view.unpaid == view.open and not view.running else None


async def raise_limit(place: Site, job: str, microusd: int) -> None:
    change = LimitChange(limit_microusd=microusd)
    await change_limit(place.store, WORKSPACE, f"s:{job}", change)
    await wake_all(place.store, place.bells, place.store.workspace(WORKSPACE), f"s:{job}", "raised")


async def _counted(place: Site, job: str, least: int) -> bool:
    return (await reading.get(place.store, WORKSPACE, job)).succeeded >= least


@pytest.mark.parametrize("items_worth", [5, 30], ids=["less than one call", "some items"])
async def test_a_dry_purse_parks_items_and_a_raise_lets_them_go_on(
    place: Site, items_worth: int
) -> None:
    mapped = Mapped()
    async with working(place.store, mapped.agent, max_tree_running=2):
        first = await over(place, (await make(place, "probe")).id)
        price = first.cost_microusd
        limit = items_worth * price
        job = await make(place, *map(str, range(20)), limit_microusd=limit)
        view = await wait_until("a dry purse", lambda: _dry(place, job.id, window=4))
        assert (view.state, view.open) == ("running", 4)
        key = place.store.workspace(WORKSPACE).waiters(f"s:{job.id}")
        assert await place.store.redis.call("ZCARD", key) == 4
        assert view.cost_microusd <= limit
        session = locate(place.store, WORKSPACE, job.id)
        await raise_limit(place, session.id, 100 * price)
        view = await over(place, job.id)
    assert (view.state, view.succeeded, view.unpaid) == ("succeeded", 20, 0)
    assert all(count == 1 for count in mapped.asked.values())


async def test_answers_are_of_the_form_that_the_job_asks_for(place: Site) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wrong = Mapped()

    def answer(request: ModelRequest) -> Reply:
        wrong.prompts.append(request)
        return Reply(text="no JSON" if len(request.messages) == 1 else json.dumps({"n": 7}))

    leaf = Agent(name="leaf", model=ScriptedModel([answer] * 20), max_output_tokens=64)
    async with working(place.store, leaf):
        job = await make(place, "one", "two", output=schema)
        await over(place, job.id)
    assert [each.output for each in await results(place, job.id)] == [{"n": 7}, {"n": 7}]
    again = next(each for each in wrong.prompts if len(each.messages) > 1).messages[-1]
    assert isinstance(again, UserMessage)
    assert again.text.startswith("Your answer does not fit what was asked for: ")
    assert "arguments" not in again.text
    assert "JSON Schema" in wrong.prompts[0].system
    assert "Another agent" not in wrong.prompts[0].system


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"inputs": ()}, "inputs"),
        ({"inputs": ("a", " ")}, "inputs[1].input"),
        ({"inputs": (JobInput("a", id="x"), JobInput("b", id="x"))}, "inputs[1].id"),
        ({"inputs": ("a", "b" * 2_000_000)}, "inputs[1].input"),
        ({"inputs": ("a",), "attempts": 6}, "attempts"),
        ({"inputs": ("a",), "timeout_s": -1}, "timeout_s"),
        ({"inputs": ("a",), "timeout_s": 3001}, "timeout_s"),
        ({"inputs": ("a",), "limit_microusd": 5, "item_limit_microusd": 6}, "item_limit_microusd"),
        ({"inputs": tuple("a" * 10_001)}, "inputs"),
        ({"inputs": ("a",), "agent": "nobody"}, "agent"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_made(
    place: Site, spec: dict[str, Any], field: str
) -> None:
    mapped = Mapped()
    async with working(place.store, mapped.agent):
        parts: dict[str, Any] = {"agent": "leaf"} | spec
        wish = JobSpec(**parts)
        with pytest.raises(InvalidInput) as refused:
            await making.create(place.store, place.registry, place.bells, WORKSPACE, wish)
    assert refused.value.field == field
    assert (await reading.list_jobs(place.store, WORKSPACE)).jobs == []
    ws = place.store.workspace(WORKSPACE)
    assert await place.store.redis.call("ZCARD", ws.sessions) == 0


async def test_a_job_is_deleted_with_all_its_sessions(place: Site) -> None:
    mapped = Mapped()
    async with working(place.store, mapped.agent):
        job = await make(place, *map(str, range(60)))
        with pytest.raises(Conflict):
            await delete_tree(place.store, WORKSPACE, job.id)
        await over(place, job.id)
        listed = await reading.list_jobs(place.store, WORKSPACE)
        assert [each.id for each in listed.jobs] == [job.id]
        assert await delete_tree(place.store, WORKSPACE, job.id) == 61
    ws = place.store.workspace(WORKSPACE)
    assert await place.store.redis.call("ZCARD", ws.sessions) == 0
    assert await place.store.redis.call("ZCARD", ws.jobs) == 0
    session = locate(place.store, WORKSPACE, job.id)
    assert await place.store.redis.call("EXISTS", session.joins, session.members) == 0
    with pytest.raises(NotFound):
        await reading.get(place.store, WORKSPACE, job.id)


async def test_a_job_starts_with_all_of_its_inputs_and_never_over_a_gap(place: Site) -> None:
    async with working(place.store, Mapped().agent):
        spec = SessionSpec(agent="leaf", user="ada", id="job_1")
        made = await sessions.create(
            place.store, place.registry, WORKSPACE, spec, fields={"job": 1}
        )
    session = locate(place.store, WORKSPACE, made.id)
    gap = await scripts.fill(place.store, session, {"job:item:1": b"x"}, start=1, until=2)
    assert gap == 0, "nothing is there yet"
    assert await place.store.redis.call("EXISTS", session.joins) == 0
    assert await scripts.fill(place.store, session, {"job:item:0": b"x"}, start=0, until=1) == 1
    facts = Facts("ada", "", "leaf", "background")
    with pytest.raises(Conflict) as refused:
        await scripts.start(
            place.store, session, facts, turn="trn_1", payload=b"", total=2, no_worker=False
        )
    assert refused.value.code == "job_opening"
    timers = session.workspace.shard.timers
    await place.store.redis.call("ZREM", timers, session.timer("job", "-"))
