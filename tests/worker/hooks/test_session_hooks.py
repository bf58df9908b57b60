"""Hooks for the start and the end of sessions, in whole turns."""

from collections.abc import AsyncIterator

import pytest

from bursar.agents import Agent
from bursar.hooks import SessionEnd, SessionStart, hook
from bursar.store.store import Store
from bursar.testing import ScriptedModel
from support.workers import WORKSPACE, Site, site, wait_until, working

seen: list[str] = []


@hook("session_start")
async def starts(started: SessionStart) -> None:
    seen.append(f"start {started.session}")


@hook("session_end")
def ends(ended: SessionEnd) -> None:
    seen.append(f"end {ended.session} of {ended.user}")


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Site]:
    seen.clear()
    async with site(store) as made:
        yield made


def agent() -> Agent:
    return Agent(name="worker", model=ScriptedModel(["done"] * 5), hooks=[starts, ends])


async def test_a_session_is_told_once_at_its_start_and_once_at_its_end(place: Site) -> None:
    async with working(place.store, agent()):
        session, _ = await place.run("worker")
        await place.ended(await place.put(session))
        assert seen == [f"start {session.id}"]
        assert await place.inputs.end(WORKSPACE, session.id) == "ended"

        async def told() -> bool:
            return len(seen) == 2

        await wait_until("end of the session", told)
        await place.swept()
        assert seen == [f"start {session.id}", f"end {session.id} of ada"]
        timers = place.store.workspace(WORKSPACE).shard.timers

        async def gone() -> bool:
            return not await place.store.redis.call("ZCARD", timers)

        await wait_until("removal of the timer", gone)


async def test_an_end_without_any_worker_is_told_when_one_comes(place: Site) -> None:
    async with working(place.store, agent()):
        session, _ = await place.run("worker")
    await place.inputs.end(WORKSPACE, session.id)
    async with working(place.store, agent()):

        async def told() -> bool:
            return f"end {session.id} of ada" in seen

        await wait_until("end of the session", told)
