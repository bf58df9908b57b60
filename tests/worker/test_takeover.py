"""A session whose worker is gone: what another worker finds, repeats, and never repeats."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bursar import history, sessions
from bursar.agents import Agent
from bursar.budgets.ledger import read_ledger
from bursar.context import ToolContext
from bursar.gate.policy import Policy
from bursar.leases import Claimed
from bursar.messages import ToolCall, ToolMessage
from bursar.sessions import SessionView
from bursar.store.scripts import leases
from bursar.store.store import Store
from bursar.testing import ScriptedModel
from bursar.tools import Tool, tool
from support.dead_worker import DeadWorker, announce_agent
from support.stage import claimant
from support.workers import WORKSPACE, Site, site, wait_until, working

runs: list[str] = []


@tool(effect="at_most_once")
async def pay(ctx: ToolContext) -> str:
    runs.append(ctx.idempotency_key)
    return "paid"


@tool(effect="idempotent")
async def put(ctx: ToolContext) -> str:
    runs.append(ctx.idempotency_key)
    return "put"


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Site]:
    runs.clear()
    await announce_agent(store)
    async with site(store) as made:
        yield made


def agent(*script: object, tools: tuple[Tool[Any, Any], ...] = (pay, put)) -> Agent:
    model = ScriptedModel(list(script))  # type: ignore[arg-type]
    policy = Policy(allow=["pay", "put"])
    return Agent(name="worker", model=model, tools=tools, policy=policy)


async def results(place: Site, session: SessionView) -> list[ToolMessage]:
    messages = await history.read_messages(place.store, WORKSPACE, session.id, last=100)
    return [message for message in messages if isinstance(message, ToolMessage)]


async def test_a_lost_model_call_is_booked_announced_and_made_again(place: Site) -> None:
    session = await place.session("worker")
    tid = await place.put(session)
    dead = await DeadWorker.take(place, session, tid)
    await dead.call_model()
    async with working(place.store, agent("whole answer")):
        turn = await place.ended(tid)
    assert (turn.state, turn.output) == ("succeeded", "whole answer")
    ledger = await read_ledger(place.store, WORKSPACE)
    assert [(e["op"], e["actual"]) for e in ledger if e["op"] != "commit"] == [
        ("unconfirmed", "700")
    ]
    log = await place.log(session)
    kinds = [event.kind for event in log]
    abandoned = kinds.index("step.abandoned")
    assert log[abandoned].decode()["attempt"] == 1
    deltas = [event.decode() for event in log[abandoned:] if event.kind == "text.delta"]
    assert {delta["attempt"] for delta in deltas} == {2}
    assert kinds.count("turn.succeeded") == 1


@pytest.mark.parametrize("name", ["pay", "put"])
async def test_a_call_that_was_not_sent_runs_once(place: Site, name: str) -> None:
    session = await place.session("worker")
    tid = await place.put(session)
    dead = await DeadWorker.take(place, session, tid)
    await dead.ask_for(ToolCall("c1", name))
    async with working(place.store, agent("fine")):
        turn = await place.ended(tid)
    assert turn.state == "succeeded"
    assert len(runs) == 1
    assert [message.is_error for message in await results(place, session)] == [False]


async def test_a_sent_call_that_must_not_repeat_is_shown_as_unknown(place: Site) -> None:
    session = await place.session("worker")
    tid = await place.put(session)
    dead = await DeadWorker.take(place, session, tid)
    call = ToolCall("c1", "pay")
    await dead.ask_for(call)
    await dead.send(call)
    async with working(place.store, agent("I will look")):
        await place.ended(tid)
    assert runs == []
    (message,) = await results(place, session)
    assert message.is_error
    assert "unknown" in message.output


async def test_a_sent_idempotent_call_repeats_under_the_same_key(place: Site) -> None:
    session = await place.session("worker")
    tid = await place.put(session)
    dead = await DeadWorker.take(place, session, tid)
    call = ToolCall("c1", "put")
    await dead.ask_for(call)
    await dead.send(call)
    async with working(place.store, agent("fine")):
        await place.ended(tid)
    (message,) = await results(place, session)
    assert message.output == "put"
    assert len(runs) == 1


async def test_a_turn_that_kills_its_workers_is_quarantined_and_the_line_goes_on(
    place: Site,
) -> None:
    session = await place.session("worker")
    poison = await place.put(session)
    good = await place.put(session)
    for _ in range(4):
        await asyncio.sleep(0.005)  # the lease of a millisecond runs out
        await DeadWorker.take(place, session, poison)
    async with working(place.store, agent("good answer")):
        bad = await place.ended(poison)
        fine = await place.ended(good)
    assert (bad.state, bad.code) == ("quarantined", "quarantined")
    assert (fine.state, fine.output) == ("succeeded", "good answer")


async def test_a_stale_worker_stops_when_another_has_taken_over(place: Site) -> None:
    slow = asyncio.Event()

    @tool(effect="pure")
    async def wait_for_it() -> str:
        await slow.wait()
        return "late"

    patient = agent(ToolCall("c1", "wait_for_it"), "late answer", tools=(wait_for_it,))
    async with working(place.store, patient):
        session = await place.session("worker")
        tid = await place.put(session)
        await place.seen(session, "tool.started")
        keys = sessions.locate(place.store, WORKSPACE, session.id)

        async def stolen() -> Claimed | None:
            # Between the two calls the lease may have been renewed.
            await place.store.redis.call("HSET", keys.hash, "lease_until_ms", 1)
            mine = claimant("thief", 60_000)
            claimed = await leases.claim(place.store, keys, mine, owner="thief")
            return claimed if isinstance(claimed, Claimed) else None

        thief: Claimed = await wait_until("a lease to steal", stolen)
        before = await place.kinds(session)
        slow.set()

        async def let_go() -> bool:
            return not [t for t in asyncio.all_tasks() if t.get_name() == f"drive {keys.ref}"]

        await wait_until("the end of the fenced drive", let_go)
        assert await place.kinds(session) == before
        assert (await place.turn(tid)).state == "running"
        assert await leases.release(place.store, thief.lease) is not None
    async with working(place.store, agent("done", tools=(wait_for_it,))):
        assert (await place.ended(tid)).state == "succeeded"


async def test_a_worker_that_drains_hands_its_session_over_without_an_attempt(place: Site) -> None:
    @tool(effect="pure")
    async def endless() -> str:
        await asyncio.sleep(600)
        return "never"

    first = agent(ToolCall("c1", "endless"), tools=(endless,))
    async with working(place.store, first, drain_s=0.1):
        session = await place.session("worker")
        tid = await place.put(session)
        await place.seen(session, "tool.started")
    keys = sessions.locate(place.store, WORKSPACE, session.id)
    fields = await place.store.redis.call("HMGET", keys.hash, "lease_until_ms", "attempts", "state")
    assert fields == [b"0", b"0", b"running"]

    @tool(effect="pure", name="endless")
    async def quick() -> str:
        return "at last"

    async with working(place.store, agent("done", tools=(quick,))):
        assert (await place.ended(tid)).state == "succeeded"
    assert [message.output for message in await results(place, session)] == ["at last"]
