"""The hooks for the end of a session run once it has ended, on a worker that serves its agent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bursar import Agent
from bursar.hooks import Hook, HookContext, SessionEnd, hook
from bursar.registry import AgentEntry, Registry, announce, redis_ms
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store
from bursar_worker.hooks import SessionEnds
from support.workers import wait_until

seen: list[HookContext] = []


@hook("session_end", timeout_s=1)
async def tidy(ended: SessionEnd) -> None:
    seen.append(ended)


@hook("session_end", timeout_s=1)
async def never_ends(_: SessionEnd) -> None:
    seen.append(_)
    await asyncio.sleep(60)


def agents(*hooks: Hook) -> dict[str, Agent]:
    return {"echo": Agent(name="echo", model="m", hooks=hooks)}


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


async def saw(count: int) -> None:
    async def enough() -> bool:
        return len(seen) == count

    await wait_until(f"call {count} of a hook", enough)


class Place:
    """A session that has ended, and a registry in which its agent has hooks for that."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ws = store.workspace("acme")
        self.session: SessionKeys = self.ws.session("s1")
        self.registry = Registry(store, max_age_s=0)

    def ends(self, *hooks: Hook, **more: Any) -> SessionEnds:
        return SessionEnds(self.store, self.registry, more.get("agents", agents(*hooks)))

    async def serve(self, *hooks: Hook) -> None:
        (agent,) = agents(*hooks).values()
        entry = AgentEntry("echo", "default", "m", hooks=agent.hook_names)
        await announce(self.store, {"id": "w1"}, [entry])

    async def timers(self) -> dict[str, int]:
        found = await self.store.redis.call("ZRANGE", self.ws.shard.timers, 0, -1, "WITHSCORES")
        pairs = zip(found[::2], found[1::2], strict=True) if found else ()
        return {text(member): int(float(score)) for member, score in pairs}

    async def target(self) -> str:
        (member,) = await self.timers()
        return member.split(" ", 2)[2]

    async def make_due(self) -> None:
        for member in await self.timers():
            await self.store.redis.call("ZADD", self.ws.shard.timers, 1, member)


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Place]:
    made = Place(store)
    await store.redis.call("HSET", made.session.hash, "agent", "echo", "user", "ann@x.org")
    now = await redis_ms(store)
    await store.redis.call("ZADD", made.ws.sessions_in_state("ended"), now, "s1")
    yield made
    await store.redis.call("DEL", made.session.hash, made.ws.shard.timers)


async def test_hooks_are_told_of_the_end_and_the_timer_is_gone(place: Place) -> None:
    await place.serve(tidy)
    ends = place.ends(tidy)
    await ends.note(place.session)
    await ends.note(place.session)
    target = await place.target()
    # The session may be deleted before the hooks run.
    await place.store.redis.call("DEL", place.session.hash)
    assert await ends.fire(place.session, target) == 1

    async def gone() -> bool:
        return await place.timers() == {}

    await wait_until("removal of the timer", gone)
    assert seen == [
        SessionEnd(workspace="acme", session="s1", user="ann@x.org", agent="echo", turn="", step=0)
    ]


async def test_an_agent_without_such_hooks_leaves_nothing(place: Place) -> None:
    await place.serve()
    await place.ends().note(place.session)
    assert await place.timers() == {}
    await place.store.redis.call("DEL", place.session.hash)
    await place.serve(tidy)
    await place.ends(tidy).note(place.session)
    assert await place.timers() == {}


async def test_while_hooks_run_no_other_worker_runs_them(place: Place) -> None:
    await place.serve(never_ends)
    first, second = place.ends(never_ends), place.ends(never_ends)
    await first.note(place.session)
    target = await place.target()
    assert await first.fire(place.session, target) == 1
    await saw(1)
    assert await second.fire(place.session, target) == 0
    await first.aclose()


async def test_hooks_of_a_worker_that_stopped_are_run_by_another(place: Place) -> None:
    await place.serve(never_ends)
    first = place.ends(never_ends)
    await first.note(place.session)
    target = await place.target()
    await first.fire(place.session, target)
    await saw(1)
    await first.aclose()
    (due,) = (await place.timers()).values()
    assert due - await redis_ms(place.store) > 5000  # beyond what its hooks may take
    await place.make_due()
    second = place.ends(tidy)
    assert await second.fire(place.session, target) == 1
    await saw(2)
    await second.aclose()


async def test_a_worker_that_does_not_serve_the_agent_leaves_it_to_one_that_does(
    place: Place,
) -> None:
    await place.serve(tidy)
    ends = place.ends(agents={})
    await ends.note(place.session)
    target = await place.target()
    assert await ends.fire(place.session, target) == 0
    (due,) = (await place.timers()).values()
    assert 0 < due - await redis_ms(place.store) <= 1000
    assert seen == []


async def test_without_any_worker_of_the_agent_it_waits_longer_and_not_for_ever(
    place: Place,
) -> None:
    await place.serve(tidy)
    ends = place.ends(agents={})
    await ends.note(place.session)
    target = await place.target()
    await place.store.redis.call("DEL", "bursar:{g}:agents")
    await ends.fire(place.session, target)
    (due,) = (await place.timers()).values()
    assert due - await redis_ms(place.store) > 50_000
    agent, user, ended_ms = target.split(" ")
    old = f"{agent} {user} {int(ended_ms) - 25 * 3_600_000}"
    key = place.ws.shard.timers
    await place.store.redis.call("DEL", key)
    await place.store.redis.call("ZADD", key, 1, place.session.timer("hooks", old))
    await ends.fire(place.session, old)
    assert await place.timers() == {}
