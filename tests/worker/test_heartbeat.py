"""A blocked event loop loses nothing, and a drive that lost its lease stops what it has begun."""

import logging
import time
from typing import Any

import pytest
import redis

from bursar import sessions
from bursar.agents import Agent
from bursar.clock import monotonic_s
from bursar.leases import Claimed
from bursar.messages import ToolCall
from bursar.sessions import SessionView
from bursar.store.keys import SessionKeys
from bursar.store.scripts import leases
from bursar.store.store import Store
from bursar.testing import ScriptedModel
from bursar.tools import tool
from bursar_worker import heartbeat
from support.held import HeldModel, HeldTool, soon
from support.stage import claimant
from support.workers import WORKSPACE, Site, wait_until, working

CALL = ToolCall("c1", "look")
BLOCKED_S = 3.0


class Watch:
    """Blocks the event loop for some seconds and looks at leases in Redis meanwhile."""

    def __init__(self, store: Store) -> None:
        self._redis: Any = redis.Redis.from_url(store.settings.redis_url)
        self.keys: list[SessionKeys] = []
        self.left_ms: list[int] = []
        """Time that a lease had left at each look."""

    def block(self) -> None:
        until_s = monotonic_s() + BLOCKED_S
        while monotonic_s() < until_s:
            for keys in self.keys:
                seconds, microseconds = self._redis.time()
                until_ms = int(self._redis.hget(keys.hash, "lease_until_ms") or 0)
                self.left_ms.append(until_ms - seconds * 1000 - microseconds // 1000)
            time.sleep(0.05)
        self._redis.close()


async def test_a_blocked_event_loop_loses_no_lease(place: Site) -> None:
    """Neither of the drive that blocks it, nor of another one that could not move meanwhile."""
    watch, other = Watch(place.store), HeldTool("other")

    @tool(effect="pure")
    async def look() -> str:
        watch.block()
        return "seen"

    blocking = Agent(name="worker", model=ScriptedModel([CALL, "done"]), tools=[look])
    patient = Agent(
        name="patient", model=ScriptedModel([ToolCall("c2", "other"), "done"]), tools=[other.tool]
    )
    async with working(place.store, blocking, patient, lease_ms=1000):
        held, blocks = await place.session("patient"), await place.session("worker")
        watch.keys = [sessions.locate(place.store, WORKSPACE, each.id) for each in (held, blocks)]
        first = await place.put(held)
        await soon(other.begun, "other tool")
        second = await place.put(blocks)
        assert (await place.ended(second)).output == "done"
        other.go.set()
        assert (await place.ended(first)).output == "done"
    assert min(watch.left_ms) > 0
    for session in (held, blocks):
        assert await place.fields(session, "epoch", "attempts") == ["1", "0"]
    assert not other.stopped.is_set()


async def test_a_blocked_event_loop_is_reported_with_what_it_is_at(
    place: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heartbeat, "_BLOCKED_S", 0.2)

    def reports() -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.name == heartbeat.__name__ and record.levelno == logging.WARNING
        ]

    @tool(effect="pure", name="look")
    async def computes_for_long() -> str:
        until_s = monotonic_s() + 15
        while monotonic_s() < until_s and not reports():
            time.sleep(0.01)  # noqa: ASYNC251  (this is what it is about)
        return "seen"

    agent = Agent(name="worker", model=ScriptedModel([CALL, "done"]), tools=[computes_for_long])
    async with working(place.store, agent):
        await place.run("worker")
    assert "the event loop has been blocked" in reports()[0]
    assert "in computes_for_long" in reports()[0]


async def steal(place: Site, session: SessionView) -> None:
    """Another worker takes the session over, however well its own one is."""
    keys = sessions.locate(place.store, WORKSPACE, session.id)

    async def claim() -> bool:
        await place.store.redis.call("HSET", keys.hash, "lease_until_ms", 1)
        thief = claimant("thief", 60_000)
        claimed = await leases.claim(place.store, keys, thief, owner="thief")
        return isinstance(claimed, Claimed)

    await wait_until("other owner", claim)


async def test_a_lost_lease_stops_a_model_call_at_once(place: Site) -> None:
    model = HeldModel(["a long answer"])
    async with working(place.store, Agent(name="worker", model=model)):
        session = await place.session("worker")
        await place.put(session)
        await soon(model.begun, "model call")
        await steal(place, session)
        await soon(model.stopped, "end of the model call", timeout_s=2)


async def test_a_lost_lease_stops_all_tool_calls_at_once(place: Site) -> None:
    one, two = HeldTool("one"), HeldTool("two")
    calls = [ToolCall("c1", "one"), ToolCall("c2", "two")]
    agent = Agent(name="worker", model=ScriptedModel([calls]), tools=[one.tool, two.tool])
    async with working(place.store, agent):
        session = await place.session("worker")
        await place.put(session)
        for each in (one, two):
            await soon(each.begun, "tool")
        await steal(place, session)
        for each in (one, two):
            await soon(each.stopped, "end of the tool call", timeout_s=2)


async def test_a_lost_lease_is_not_written_under(place: Site) -> None:
    model = HeldModel(["a long answer"])
    async with working(place.store, Agent(name="worker", model=model)):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(model.begun, "model call")
        await place.seen(session, "text.delta")
        await steal(place, session)
        before = await place.kinds(session)
        await soon(model.stopped, "end of the model call")
    assert await place.kinds(session) == before
    assert (await place.turn(tid)).state == "running"
