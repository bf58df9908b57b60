"""Sessions that may have taken down two workers are driven one at a time, and all of them end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from bursar import sessions
from bursar.agents import Agent
from bursar.leases import Claimed
from bursar.messages import ToolCall
from bursar.models import ModelEvent, ModelRequest
from bursar.store.keys import SessionKeys
from bursar.store.scripts import leases
from bursar.store.store import Store
from bursar.testing import ScriptedModel
from bursar_worker.main import WorkerProcess
from support.dead_worker import DeadWorker, announce_agent
from support.held import HeldTool
from support.stage import claimant
from support.workers import WORKSPACE, Site, site, wait_until, working


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Site]:
    await announce_agent(store)
    async with site(store) as made:
        yield made


@dataclass
class CrowdedModel(ScriptedModel):
    """Notes who asks it at once; answers when a test lets it, after a moment."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    asking: list[str] = field(default_factory=list)
    most: int = 0

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.asking.append(request.turn)
        self.most = max(self.most, len(self.asking))
        try:
            await self.go.wait()
            await asyncio.sleep(0.05)
            async for event in ScriptedModel.stream(self, request):
                yield event
        finally:
            self.asking.remove(request.turn)

    async def asked_by(self, number: int) -> None:
        async def so_many() -> bool:
            return len(self.asking) == number

        await wait_until(f"{number} who ask at once", so_many)


def served_by(model: CrowdedModel) -> Agent:
    return Agent(name="worker", model=model)


async def orphans(place: Site, number: int, *, deaths: int = 2) -> dict[str, SessionKeys]:
    """Sessions by their turns, whose workers died so many times; their leases have run out."""
    found = {}
    for _ in range(number):
        session = await place.session("worker")
        tid = await place.put(session)
        found[tid] = sessions.locate(place.store, WORKSPACE, session.id)
        for _ in range(deaths):
            await DeadWorker.take(place, session, tid, lease_ms=1)
            await asyncio.sleep(0.005)  # the lease of a millisecond runs out
    return found


async def in_line(worker: WorkerProcess, number: int) -> None:
    async def waiting() -> bool:
        return len(worker._dispatcher._suspects) == number

    await wait_until(f"{number} in line", waiting)


async def test_they_are_driven_one_at_a_time(place: Site) -> None:
    found, model = await orphans(place, 5), CrowdedModel(["done"] * 5)
    model.go.set()
    async with working(place.store, served_by(model)):
        for tid in found:
            await place.ended(tid)
    assert model.most == 1


async def test_all_of_them_end(place: Site) -> None:
    found, model = await orphans(place, 5), CrowdedModel(["done"] * 5)
    model.go.set()
    async with working(place.store, served_by(model)):
        assert {(await place.ended(tid)).state for tid in found} == {"succeeded"}


async def test_sessions_that_lost_one_worker_are_driven_side_by_side(place: Site) -> None:
    found, model = await orphans(place, 2, deaths=1), CrowdedModel(["done"] * 2)
    async with working(place.store, served_by(model)):
        await model.asked_by(2)
        model.go.set()
        for tid in found:
            await place.ended(tid)


async def test_the_next_is_driven_when_one_has_made_progress(place: Site) -> None:
    """Each stays in its tool for good, but to have asked for it was progress."""
    found, look = await orphans(place, 3), HeldTool()
    model = ScriptedModel([ToolCall("c1", "look")] * 3)
    async with working(place.store, Agent(name="worker", model=model, tools=[look.tool])):

        async def all_at_it() -> bool:
            return look.runs == 3

        await wait_until("three tools at once", all_at_it)
        for tid in found:
            await place.inputs.cancel(WORKSPACE, tid)
            await place.ended(tid)


async def test_the_next_is_driven_when_one_ends_without_progress(place: Site) -> None:
    found, model = await orphans(place, 2), CrowdedModel(["done"])
    async with working(place.store, served_by(model)) as worker:
        await model.asked_by(1)
        await in_line(worker, 1)
        (first,) = model.asking
        await place.inputs.cancel(WORKSPACE, first)
        model.go.set()
        states = {(await place.ended(tid)).state for tid in found}
    assert states == {"cancelled", "succeeded"}


async def test_one_that_another_worker_took_meanwhile_holds_up_nobody(place: Site) -> None:
    found, model = await orphans(place, 3), CrowdedModel(["done"] * 3)
    async with working(place.store, served_by(model)) as worker:
        await model.asked_by(1)
        await in_line(worker, 2)
        taken = next(
            tid for tid in found if found[tid].ref == next(iter(worker._dispatcher._suspects))
        )
        thief = await leases.claim(place.store, found[taken], claimant("thief"), owner="thief")
        assert isinstance(thief, Claimed)
        model.go.set()
        for tid in found.keys() - {taken}:
            await place.ended(tid)
        await leases.release(place.store, thief.lease)
        await place.ended(taken)


async def test_others_run_beside_one_that_makes_no_progress(place: Site) -> None:
    found, model = await orphans(place, 1), CrowdedModel(["done"])
    well = Agent(name="well", model=ScriptedModel(["well done"]))
    async with working(place.store, served_by(model), well):
        await model.asked_by(1)
        _, turn = await place.run("well")
        assert turn.output == "well done"
        model.go.set()
        for tid in found:
            await place.ended(tid)


async def test_they_are_given_back_by_a_worker_that_drains(place: Site) -> None:
    found, model = await orphans(place, 3), CrowdedModel(["done"] * 3)
    async with working(place.store, served_by(model), drain_s=0) as worker:
        await model.asked_by(1)
        await in_line(worker, 2)
    model.go.set()
    async with working(place.store, served_by(model)):
        assert {(await place.ended(tid)).state for tid in found} == {"succeeded"}
