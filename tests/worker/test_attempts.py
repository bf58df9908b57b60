"""What counts as an attempt of a turn, and what becomes of one that kills its workers."""

from collections.abc import AsyncIterator

import pytest

from bursar import sessions
from bursar.agents import Agent
from bursar.budgets.accounts import read_accounts
from bursar.budgets.ledger import read_ledger
from bursar.errors import ModelError
from bursar.messages import ToolCall
from bursar.sessions import SessionView
from bursar.store.store import Store
from bursar.testing import ScriptedModel
from support.dead_worker import DeadWorker, announce_agent
from support.held import HeldTool, soon
from support.workers import WORKSPACE, Site, site, wait_until, working

LATER = ModelError("later", retryable=True, status=429, retry_after_s=300)


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Site]:
    await announce_agent(store)
    async with site(store) as made:
        yield made


def answering(*script: object) -> Agent:
    return Agent(name="worker", model=ScriptedModel(list(script)))  # type: ignore[arg-type]


async def drained_by(place: Site, workers: int) -> tuple[SessionView, str, HeldTool, list[str]]:
    """A turn in a tool call that one worker after the other gives back, as on SIGTERM.

    Returns:
        Also the tool, and the attempts that stood in the session after each worker.

    """
    session = await place.session("worker")
    tid = await place.put(session)
    attempts = []
    for number in range(workers):
        look = HeldTool()
        script = [ToolCall("c1", "look")] if number == 0 else []
        agent = Agent(name="worker", model=ScriptedModel(script), tools=[look.tool])
        async with working(place.store, agent, drain_s=0):
            await soon(look.begun, f"tool on worker {number}")
        attempts += await place.fields(session, "attempts")
    return session, tid, look, attempts


async def test_ten_workers_that_drain_burn_no_attempt(place: Site) -> None:
    _, tid, look, attempts = await drained_by(place, 10)
    assert attempts == ["0"] * 10
    look.go.set()
    agent = Agent(name="worker", model=ScriptedModel(["done"]), tools=[look.tool])
    async with working(place.store, agent):
        assert (await place.ended(tid)).output == "done"


async def test_a_worker_that_drains_gives_its_lease_back(place: Site) -> None:
    session, _, _, _ = await drained_by(place, 1)
    assert await place.fields(session, "lease_until_ms", "state") == ["0", "running"]


async def make_due(place: Site, session: SessionView, tid: str) -> None:
    keys = sessions.locate(place.store, WORKSPACE, session.id)
    timers = keys.workspace.shard.timers
    await place.store.redis.call("ZADD", timers, "XX", 1, keys.timer("wake", tid))


async def test_a_turn_that_is_parked_and_woken_five_times_burns_no_attempt(place: Site) -> None:
    async with working(place.store, answering(*[LATER] * 5, "done")):
        session = await place.session("worker")
        tid = await place.put(session)
        for parked in range(1, 6):

            async def waits(times: int = parked) -> bool:
                return (await place.kinds(session)).count("turn.waiting") == times

            await wait_until(f"park {parked}", waits)
            assert await place.fields(session, "attempts") == ["0"]
            await make_due(place, session, tid)
        assert (await place.ended(tid)).output == "done"


async def poisoned(place: Site, *, deaths: int) -> tuple[SessionView, str]:
    """A turn whose workers all died in its first model call."""
    session = await place.session("worker")
    tid = await place.put(session)
    for number in range(1, deaths + 1):
        await lease_ran_out(place, session)
        dead = await DeadWorker.take(place, session, tid, lease_ms=100)
        await dead.call_model(attempt=number)
    return session, tid


async def lease_ran_out(place: Site, session: SessionView) -> None:
    async def ran_out() -> bool:
        (until_ms,) = await place.fields(session, "lease_until_ms")
        seconds, microseconds = await place.store.redis.call("TIME")
        return int(until_ms) <= int(seconds) * 1000 + int(microseconds) // 1000

    await wait_until("lease that ran out", ran_out)


async def test_a_turn_whose_workers_died_twice_is_tried_once_more(place: Site) -> None:
    _, tid = await poisoned(place, deaths=2)
    async with working(place.store, answering("at last")):
        assert (await place.ended(tid)).output == "at last"


async def test_a_turn_whose_workers_died_three_times_is_quarantined_and_asks_no_model(
    place: Site,
) -> None:
    _, tid = await poisoned(place, deaths=3)
    agent = answering("never asked")
    async with working(place.store, agent):
        turn = await place.ended(tid)
    assert (turn.state, turn.code) == ("quarantined", "quarantined")
    assert isinstance(agent.model, ScriptedModel)
    assert agent.model.requests == []


async def test_a_quarantined_turn_has_one_terminal_event(place: Site) -> None:
    session, tid = await poisoned(place, deaths=3)
    async with working(place.store, answering()):
        await place.ended(tid)
    (event,) = [each for each in await place.log(session) if each.kind == "turn.quarantined"]
    assert event.decode()["turn"] == tid
    assert "died three times" in event.decode()["reason"]


async def test_a_quarantined_turn_leaves_no_money_held(place: Site) -> None:
    _, tid = await poisoned(place, deaths=3)
    async with working(place.store, answering()):
        await place.ended(tid)
    (account,) = await read_accounts(place.store, WORKSPACE, ["ws"])
    assert (account.pending_microusd, account.posted_microusd) == (0, 2100)
    ledger = await read_ledger(place.store, WORKSPACE)
    assert [entry["op"] for entry in ledger] == ["unconfirmed"] * 3


async def test_the_input_behind_a_quarantined_turn_runs(place: Site) -> None:
    session, tid = await poisoned(place, deaths=3)
    behind = await place.put(session)
    async with working(place.store, answering("good answer")):
        assert (await place.ended(behind)).output == "good answer"
    assert (await place.turn(tid)).state == "quarantined"


async def test_progress_between_two_deaths_starts_the_count_anew(place: Site) -> None:
    """Four deaths in all, but never three in a row without progress."""
    session, tid = await poisoned(place, deaths=2)
    await lease_ran_out(place, session)
    dead = await DeadWorker.take(place, session, tid, lease_ms=100)
    await dead.ask_for(ToolCall("c1", "look"))
    await lease_ran_out(place, session)
    await DeadWorker.take(place, session, tid, lease_ms=100)
    async with working(place.store, answering("at last")):
        assert (await place.ended(tid)).output == "at last"
