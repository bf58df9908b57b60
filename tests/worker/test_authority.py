"""A drive whose lease is not fresh starts nothing that has an effect, until it is renewed."""

import asyncio
import threading
from typing import Any

import pytest

from bursar import sessions
from bursar.agents import Agent
from bursar.leases import Claimed
from bursar.messages import ToolCall
from bursar.models import ModelRequest
from bursar.sessions import SessionView
from bursar.store.scripts import leases, tools
from bursar.store.scripts.tools import StartedCall
from bursar.testing import ScriptedModel
from bursar.tools import tool
from bursar_worker import authority
from bursar_worker.authority import Authority
from bursar_worker.heartbeat import Heartbeat
from bursar_worker.main import WorkerProcess
from support.hand_clock import HandClock, hand_clock
from support.held import HeldModel, HeldTool, soon
from support.stage import claimant
from support.workers import WORKSPACE, Site, wait_until, working

CALL = ToolCall("c1", "look")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    return hand_clock(monkeypatch, authority)


async def has_to_wait(right: Authority) -> "asyncio.Task[None]":
    """Someone who requires a fresh lease and does not have one yet."""
    waiting = asyncio.create_task(right.require())
    await asyncio.sleep(0)
    assert not waiting.done()
    return waiting


def test_a_lease_is_fresh_for_60_percent_of_its_time(clock: HandClock) -> None:
    right = Authority(1000, clock.now_s)
    clock.now_s += 0.59
    before = right.is_fresh
    clock.now_s += 0.02
    assert (before, right.is_fresh) == (True, False)


async def test_a_fresh_lease_is_not_waited_for(clock: HandClock) -> None:
    await asyncio.wait_for(Authority(1000, clock.now_s).require(), 1)


async def test_a_renewal_lets_all_go_on_who_wait(clock: HandClock) -> None:
    right = Authority(1000, clock.now_s)
    clock.now_s += 1
    waiting = [await has_to_wait(right) for _ in range(3)]
    right.renew(clock.now_s)
    await asyncio.wait_for(asyncio.gather(*waiting), 1)


async def test_a_renewal_that_was_sent_too_long_ago_lets_nobody_go_on(clock: HandClock) -> None:
    right = Authority(1000, clock.now_s)
    clock.now_s += 2
    waiting = await has_to_wait(right)
    right.renew(clock.now_s - 0.7)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


def test_renewals_that_are_heard_out_of_order_count_by_the_newest(clock: HandClock) -> None:
    right = Authority(1000, clock.now_s)
    right.renew(clock.now_s + 1)
    right.renew(clock.now_s + 0.1)
    clock.now_s += 1.5
    assert right.is_fresh


class Beat:
    """The heartbeat of a worker, which a test can cut off from Redis."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lost = threading.Event()
        self.missed = 0
        self._waiting = asyncio.Event()
        renew, require = Heartbeat._renew, Authority.require

        def cut_off(heartbeat: Heartbeat, redis: Any, current: Any) -> None:
            if self.lost.is_set():
                self.missed += 1
                return
            renew(heartbeat, redis, current)

        async def watched(right: Authority) -> None:
            if not right.is_fresh:
                self._waiting.set()
            await require(right)

        monkeypatch.setattr(Heartbeat, "_renew", cut_off)
        monkeypatch.setattr(Authority, "require", watched)

    async def fail(self, worker: WorkerProcess) -> None:
        """Renew no more, until the lease of the worker's one drive is not fresh."""
        self.lost.set()
        (drive,) = worker._dispatcher._drives.values()

        async def is_stale() -> bool:
            return not drive._authority.is_fresh

        await wait_until("stale lease", is_stale)

    async def is_waited_for(self) -> None:
        """A drive has to wait for a renewal, and still does two beats later."""
        await soon(self._waiting, "drive that waits")
        missed = self.missed

        async def two_more() -> bool:
            return self.missed >= missed + 2

        await wait_until("two more beats", two_more)


@pytest.fixture
async def beat(monkeypatch: pytest.MonkeyPatch) -> Beat:
    return Beat(monkeypatch)


async def test_no_model_call_starts_before_the_lease_is_renewed(place: Site, beat: Beat) -> None:
    asked_while_lost = []

    def last(_: ModelRequest) -> str:
        asked_while_lost.append(beat.lost.is_set())
        return "done"

    look = HeldTool()
    agent = Agent(name="worker", model=ScriptedModel([CALL, last]), tools=[look.tool])
    async with working(place.store, agent, lease_ms=1000) as worker:
        tid = await place.put(await place.session("worker"))
        await soon(look.begun, "tool")
        await beat.fail(worker)
        look.go.set()
        await beat.is_waited_for()
        beat.lost.clear()
        assert (await place.ended(tid)).output == "done"
    assert asked_while_lost == [False]


def recording(beat: Beat, ran_while_lost: list[bool]) -> Any:
    @tool(effect="pure", name="look")
    async def look() -> str:
        ran_while_lost.append(beat.lost.is_set())
        return "seen"

    return look


async def test_no_tool_call_starts_before_the_lease_is_renewed(place: Site, beat: Beat) -> None:
    ran_while_lost: list[bool] = []
    model = HeldModel([CALL, "done"])
    agent = Agent(name="worker", model=model, tools=[recording(beat, ran_while_lost)])
    async with working(place.store, agent, lease_ms=1000) as worker:
        tid = await place.put(await place.session("worker"))
        await soon(model.begun, "model call")
        await beat.fail(worker)
        model.go.set()
        await beat.is_waited_for()
        beat.lost.clear()
        assert (await place.ended(tid)).output == "done"
    assert ran_while_lost == [False]


async def test_a_call_whose_announcement_took_too_long_waits_for_a_renewal(
    place: Site, beat: Beat, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran_while_lost: list[bool] = []
    announce = tools.start_tool
    agent = Agent(
        name="worker",
        model=ScriptedModel([CALL, "done"]),
        tools=[recording(beat, ran_while_lost)],
    )
    async with working(place.store, agent, lease_ms=1000) as worker:

        async def slowly(*arguments: Any, **options: Any) -> StartedCall:
            started = await announce(*arguments, **options)
            await beat.fail(worker)
            return started

        monkeypatch.setattr(tools, "start_tool", slowly)
        tid = await place.put(await place.session("worker"))
        await beat.is_waited_for()
        beat.lost.clear()
        assert (await place.ended(tid)).output == "done"
    assert ran_while_lost == [False]


async def stolen(place: Site, session: SessionView) -> Claimed:
    """Another worker takes the session as soon as its lease has run out."""
    keys = sessions.locate(place.store, WORKSPACE, session.id)

    async def claim() -> Claimed | None:
        thief = claimant("thief", 60_000)
        claimed = await leases.claim(place.store, keys, thief, owner="thief")
        return claimed if isinstance(claimed, Claimed) else None

    found: Claimed = await wait_until("lease that ran out", claim)
    return found


async def test_a_drive_that_is_fenced_while_it_waits_ends_without_its_call(
    place: Site, beat: Beat
) -> None:
    look = HeldTool()
    model = ScriptedModel([CALL, "never asked"])
    agent = Agent(name="worker", model=model, tools=[look.tool])
    async with working(place.store, agent, lease_ms=1000) as worker:
        session = await place.session("worker")
        await place.put(session)
        await soon(look.begun, "tool")
        await beat.fail(worker)
        look.go.set()
        await beat.is_waited_for()
        await stolen(place, session)
        beat.lost.clear()

        async def let_go() -> bool:
            return not worker._dispatcher._drives

        await wait_until("end of the fenced drive", let_go)
    assert len(model.requests) == 1
