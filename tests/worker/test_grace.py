"""After an outage nobody is taken over for the time of one lease, and the living go on."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bursar.agents import Agent
from bursar.clock import monotonic_s
from bursar.embedded import EmbeddedServer
from bursar.errors import StoreUnavailable
from bursar.leases import ClaimRefused
from bursar.messages import ToolCall
from bursar.queue import Bell
from bursar.sessions import SessionView
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.scripts import leases
from bursar.store.store import Store
from bursar.testing import ScriptedModel
from bursar_worker import grace
from bursar_worker.grace import Grace
from support.dead_worker import DeadWorker, announce_agent
from support.hand_clock import HandClock, hand_clock
from support.held import HeldTool, soon
from support.invariants import check_accounts, check_lifetimes
from support.workers import WORKSPACE, Site, site, wait_until, working


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    return hand_clock(monkeypatch, grace)


def seen(clock: HandClock, *, redis_ahead_s: float = 0.0, connects: int = 1) -> Grace:
    """Somebody's grace after a first look in which all was well."""
    made = Grace(4000)
    made.observe(_redis_ms(clock, redis_ahead_s), connects)
    return made


def _redis_ms(clock: HandClock, ahead_s: float = 0.0) -> int:
    return int((1_700_000_000 + clock.now_s + ahead_s) * 1000)


def test_there_is_none_at_first_and_after_a_first_look(clock: HandClock) -> None:
    assert (Grace(4000).is_over, seen(clock).is_over) == (True, True)


def test_it_ends_by_itself_after_one_lease(clock: HandClock) -> None:
    made = Grace(4000)
    made.begin("the test says so")
    clock.now_s += 3.9
    before = made.is_over
    clock.now_s += 0.2
    assert (before, made.is_over) == (False, True)


def test_an_outage_that_goes_on_makes_it_longer(clock: HandClock) -> None:
    made = Grace(4000)
    made.begin("away")
    clock.now_s += 3
    made.begin("still away")
    clock.now_s += 3
    assert not made.is_over


def test_it_is_announced_once_an_outage(clock: HandClock, caplog: pytest.LogCaptureFixture) -> None:
    made = Grace(4000)
    for _ in range(3):
        clock.now_s += 1
        made.begin("Redis is away")
    assert [record.getMessage() for record in caplog.records] == [
        "no take-overs for 4 s: Redis is away"
    ]


def test_a_new_connection_begins_it(clock: HandClock) -> None:
    made = seen(clock, connects=1)
    made.observe(_redis_ms(clock), 2)
    assert not made.is_over


@pytest.mark.parametrize("jump_s", [1.5, -1.5, 3600])
def test_a_jump_of_the_clock_of_redis_begins_it(clock: HandClock, jump_s: float) -> None:
    made = seen(clock)
    clock.now_s += 0.5
    made.observe(_redis_ms(clock, jump_s), 1)
    assert not made.is_over


@pytest.mark.parametrize("later_s", [0.5, 600])
def test_time_that_passes_for_both_clocks_does_not_begin_it(
    clock: HandClock, later_s: float
) -> None:
    made = seen(clock)
    clock.now_s += later_s
    made.observe(_redis_ms(clock, 0.5), 1)
    assert made.is_over


def test_a_jump_begins_it_once_and_not_at_each_further_look(clock: HandClock) -> None:
    made = seen(clock)
    made.observe(_redis_ms(clock, 100), 1)
    clock.now_s += 5
    made.observe(_redis_ms(clock, 100), 1)
    assert made.is_over


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Site]:
    await announce_agent(store)
    async with site(store) as made:
        yield made


def answering(*script: object) -> Agent:
    return Agent(name="worker", model=ScriptedModel(list(script) or ["done"] * 9))  # type: ignore[arg-type]


def ref_of(session: SessionView) -> str:
    return f"{WORKSPACE}/{session.id}"


async def lost_session(place: Site) -> tuple[SessionView, str]:
    """A session whose worker died in a turn, and whose lease has run out."""
    session = await place.session("worker")
    tid = await place.put(session)
    await DeadWorker.take(place, session, tid)
    return session, tid


async def test_the_sweeper_reaps_nothing_while_it_lasts(place: Site) -> None:
    session, _ = await lost_session(place)
    leased = place.store.workspace(WORKSPACE).shard.leases
    async with working(place.store, answering(), lease_ms=60_000) as worker:
        worker._grace.begin("the test says so")
        await place.swept()
        assert await place.store.redis.call("ZSCORE", leased, ref_of(session)) is not None


async def test_a_claim_takes_no_expired_lease_while_it_lasts(place: Site) -> None:
    session, _ = await lost_session(place)
    async with working(place.store, answering(), lease_ms=60_000) as worker:
        worker._grace.begin("the test says so")
        claim = worker._dispatcher._try_to_claim(Bell(ref_of(session)), alone=True)
        assert await claim == ClaimRefused("held", "dead")


async def test_a_lost_session_is_taken_over_when_it_is_over(place: Site) -> None:
    _, tid = await lost_session(place)
    async with working(place.store, answering(), lease_ms=1000) as worker:
        worker._grace.begin("the test says so")
        assert (await place.ended(tid)).state == "succeeded"


async def test_a_session_that_was_given_back_is_claimed_while_it_lasts(place: Site) -> None:
    async with working(place.store, answering(), lease_ms=60_000) as worker:
        worker._grace.begin("the test says so")
        _, turn = await place.run("worker")
    assert turn.state == "succeeded"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A server that loses nothing when it is killed: here it is the outage that matters."""
    with EmbeddedServer(data=tmp_path, extra=("--appendfsync", "always")) as own:
        yield own


async def opened(server: EmbeddedServer) -> AsyncIterator[Store]:
    made = await open_store(Settings(redis_url=server.url))
    yield made
    await made.aclose()


first_store = pytest.fixture(opened)
second_store = pytest.fixture(opened)


async def test_a_worker_that_starts_right_after_redis_begins_with_it(
    server: EmbeddedServer, first_store: Store
) -> None:
    async with working(first_store, answering(), lease_ms=60_000) as worker:
        assert not worker._grace.is_over


async def test_a_claim_that_meets_an_outage_begins_it(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = leases.claim
    lost: list[object] = []

    async def reply_is_lost(*arguments: Any, **named: Any) -> Any:
        reply = await claim(*arguments, **named)
        if not lost:
            lost.append(reply)
            raise StoreUnavailable("the reply was lost")
        return reply

    monkeypatch.setattr(leases, "claim", reply_is_lost)
    async with working(place.store, answering(), lease_ms=60_000) as worker:
        worker._grace = worker._dispatcher._grace = Grace(60_000)
        await place.run("worker")
        assert not worker._grace.is_over


async def test_it_begins_when_redis_has_just_started(first_store: Store) -> None:
    async with working(first_store, answering(), lease_ms=60_000) as worker:
        assert not worker._grace.is_over


async def test_it_begins_when_redis_is_away(server: EmbeddedServer, first_store: Store) -> None:
    async with working(first_store, answering(), lease_ms=1000) as worker:

        async def is_over() -> bool:
            return worker._grace.is_over

        async def lasts() -> bool:
            return not worker._grace.is_over

        await wait_until("end of the grace after the server's start", is_over)
        server.kill()
        await wait_until("grace", lasts)
        server.start()


async def answers(store: Store) -> bool:
    try:
        await store.redis.call("PING")
    except StoreUnavailable:
        return False
    return True


async def test_a_living_drive_goes_on_after_an_outage_longer_than_its_lease(
    server: EmbeddedServer, first_store: Store, second_store: Store
) -> None:
    """Two workers; the sweepers are much quicker than the heartbeats, and would be first."""
    look = HeldTool()
    agent = Agent(
        name="worker", model=ScriptedModel([ToolCall("c1", "look"), "done"]), tools=[look.tool]
    )
    pace = {"lease_ms": 1500, "renew_every_s": 0.6}
    async with (
        site(first_store) as place,
        working(first_store, agent, **pace) as first,
        working(second_store, agent, **pace) as second,
    ):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(look.begun, "tool")
        server.kill()
        (drive,) = [*first._dispatcher._drives.values(), *second._dispatcher._drives.values()]

        async def has_run_out() -> bool:
            return monotonic_s() - drive._authority._since_s > 1.6

        await wait_until("lease that ran out", has_run_out)
        server.start()
        for store in (first_store, second_store):
            await wait_until("answer of Redis", partial(answers, store))
        await place.swept()
        look.go.set()
        turn = await place.ended(tid)
        assert (turn.state, look.runs) == ("succeeded", 1)
        assert await place.fields(session, "epoch", "attempts") == ["1", "0"]
        await check_lifetimes(first_store)
        await check_accounts(first_store)
