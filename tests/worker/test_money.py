"""What a turn does when the money for its next call is not there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bursar import history, sessions, workspaces
from bursar.agents import Agent
from bursar.budgets.accounts import LimitChange, change_limit, read_accounts
from bursar.budgets.ledger import read_ledger
from bursar.budgets.questions import deny, give, read_questions
from bursar.gate.policy import Policy
from bursar.leases import Claimed
from bursar.messages import ToolCall, ToolMessage, Usage
from bursar.models import ModelRequest
from bursar.queue import Bells, connect_queue
from bursar.sessions import SessionView
from bursar.store.codec import text
from bursar.store.scripts import leases
from bursar.store.scripts.budgets import end_hold
from bursar.testing import Reply, ScriptedModel
from bursar.tools import tool
from bursar_worker.money import CLOSING_NOTE, WARNING_NOTE
from support.stage import claimant
from support.workers import WORKSPACE, Site, wait_until, working


@pytest.fixture
async def bells(place: Site) -> AsyncIterator[Bells]:
    queue = await connect_queue(place.store.settings)
    yield Bells(place.store, queue, place.registry)
    await queue.aclose()


def agent(*script: Any, **more: Any) -> Agent:
    return Agent(name="worker", model=ScriptedModel(list(script)), max_output_tokens=1000, **more)


def asked_of(worker: Agent) -> list[ModelRequest]:
    assert isinstance(worker.model, ScriptedModel)
    return worker.model.requests


async def state(place: Site, tid: str, wanted: str) -> None:
    async def reached() -> bool:
        return (await place.turn(tid)).state == wanted

    await wait_until(f"{tid} to be {wanted}", reached)


async def raise_limit(place: Site, account: str, microusd: int) -> None:
    await change_limit(place.store, WORKSPACE, account, LimitChange(limit_microusd=microusd))


async def line_is_empty(place: Site, account: str) -> None:
    ws = place.store.workspace(WORKSPACE)
    assert await place.store.redis.call("ZCARD", ws.waiters(account)) == 0
    (view,) = await read_accounts(place.store, WORKSPACE, [account])
    assert view.waiting == 0


async def test_a_turn_waits_for_money_and_goes_on_when_there_is_more(
    place: Site, bells: Bells
) -> None:
    async with working(place.store, agent("done")):
        session = await place.session("worker", limit_microusd=5)
        tid = await place.put(session)
        await state(place, tid, "waiting")
        (question,) = await read_questions(place.store, WORKSPACE)
        assert question.account.account == f"s:{session.id}"
        assert question.account.asked_ms is not None
        ((waiting),) = question.turns
        assert (waiting.session, waiting.turn) == (session.id, tid)
        assert 5 < waiting.needs_microusd < 1000, "the least that it can go on with"
        assert await place.fields(session, "lease_until_ms", "worker") == ["0", ""]
        await raise_limit(place, f"s:{session.id}", 1_000_000)
        assert await give(place.store, bells, WORKSPACE, f"s:{session.id}") == 1
        assert (await place.ended(tid)).state == "succeeded"
    assert await place.kinds(session) == [
        "session.created", "turn.queued", "turn.started", "budget.exhausted", "turn.waiting",
        "budget.raised", "turn.resumed", "step.started", "text.delta", "message.committed", "usage",
        "turn.succeeded",
    ]  # fmt: skip
    assert await read_questions(place.store, WORKSPACE) == []
    await line_is_empty(place, f"s:{session.id}")


async def test_the_sweeper_wakes_whom_nobody_told(place: Site) -> None:
    async with working(place.store, agent("done")):
        session = await place.session("worker", limit_microusd=5)
        tid = await place.put(session)
        await state(place, tid, "waiting")
        await raise_limit(place, f"s:{session.id}", 1_000_000)
        assert (await place.ended(tid)).state == "succeeded"


async def test_more_that_is_not_enough_answers_nothing(place: Site, bells: Bells) -> None:
    async with working(place.store, agent("done")):
        session = await place.session("worker", limit_microusd=5)
        account = f"s:{session.id}"
        tid = await place.put(session)
        await state(place, tid, "waiting")
        await raise_limit(place, account, 6)
        assert await give(place.store, bells, WORKSPACE, account) == 0, "it does not fit"
        assert len(await read_questions(place.store, WORKSPACE)) == 1, "so people are asked still"
        await raise_limit(place, account, 1_000_000)
        await give(place.store, bells, WORKSPACE, account)
        assert (await place.ended(tid)).state == "succeeded"


async def test_a_denial_ends_the_turn_with_what_it_has(place: Site, bells: Bells) -> None:
    async with working(place.store, agent("never asked")):
        session = await place.session("worker", limit_microusd=5)
        tid = await place.put(session)
        await state(place, tid, "waiting")
        account = f"s:{session.id}"
        assert await deny(place.store, bells, WORKSPACE, account, "good enough") == 1
        turn = await place.ended(tid)
    assert (turn.state, turn.code, turn.reason) == ("failed", "budget_exhausted", "good enough")
    assert await read_questions(place.store, WORKSPACE) == []
    await line_is_empty(place, account)


async def test_people_are_asked_once_an_account(place: Site, bells: Bells) -> None:
    async with working(place.store, agent(*["done"] * 3)):
        await raise_limit(place, "ws", 5)
        opened = [await place.session("worker") for _ in range(3)]
        turns = [await place.put(session) for session in opened]
        for tid in turns:
            await state(place, tid, "waiting")
        kinds = [kind for session in opened for kind in await place.kinds(session)]
        assert kinds.count("budget.exhausted") == 1
        assert kinds.count("turn.waiting") == 3
        (question,) = await read_questions(place.store, WORKSPACE)
        assert (question.account.account, question.account.waiting) == ("ws", 3)
        assert [waiting.turn for waiting in question.turns] == turns, "in the order of arrival"
        await raise_limit(place, "ws", 1_000_000)
        await give(place.store, bells, WORKSPACE, "ws")
        for tid in turns:
            assert (await place.ended(tid)).state == "succeeded"


async def test_a_turn_that_waits_for_money_can_be_cancelled(place: Site) -> None:
    async with working(place.store, agent("never asked")):
        session = await place.session("worker", limit_microusd=5)
        tid = await place.put(session)
        await state(place, tid, "waiting")
        await place.inputs.cancel(WORKSPACE, tid)
        assert (await place.ended(tid)).state == "cancelled"
    await line_is_empty(place, f"s:{session.id}")


async def test_those_who_only_wait_for_what_others_hold_ask_nobody(place: Site) -> None:
    """The purse pays for one worst case at a time, and for all that is really spent."""
    slow = Agent(
        name="worker",
        model=ScriptedModel([Reply(text="done", delay_s=0.05)] * 8),
        max_output_tokens=64,
    )
    async with working(place.store, slow):
        await workspaces.ensure(place.store, WORKSPACE)
        await raise_limit(place, "ws", 700)
        opened = [await place.session("worker") for _ in range(5)]
        turns = [await place.put(session) for session in opened]
        for tid in turns:
            assert (await place.ended(tid)).state == "succeeded"
    waited = 0
    for session in opened:
        kinds = await place.kinds(session)
        assert "budget.exhausted" not in kinds
        waited += "turn.waiting" in kinds
    assert waited > 0
    assert await read_questions(place.store, WORKSPACE) == []
    await line_is_empty(place, "ws")


@tool(effect="idempotent", cost_usd="0.0945")
async def dear() -> str:
    """Costs most of the purse."""
    return "bought"


def buyer(*script: Any) -> Agent:
    return agent(*script, tools=(dear,), policy=Policy(allow=["dear"]))


def keeping(place: Site) -> None:
    changed = place.store.settings.model_copy(update={"closing_microusd": 50_000})
    place.store.settings = changed


async def test_what_is_kept_back_pays_for_one_closing_answer(place: Site) -> None:
    keeping(place)
    worker = buyer(ToolCall("c1", "dear"), Reply(text="all", tool_calls=[ToolCall("c2", "dear")]))
    async with working(place.store, worker):
        session, turn = await place.run("worker", limit_microusd=100_000)
    assert (turn.state, turn.code, turn.output) == ("succeeded", "budget_closed", "all")
    first, last = asked_of(worker)
    assert CLOSING_NOTE not in first.system
    assert CLOSING_NOTE in last.system
    newest, *_ = await read_ledger(place.store, WORKSPACE)
    assert newest["kind"] == "closing:scripted"
    messages = await history.read_messages(place.store, WORKSPACE, session.id, last=1)
    assert not getattr(messages[0], "tool_calls", ()), "calls of a closing answer are dropped"


async def test_a_turn_that_has_done_nothing_yet_does_not_close(place: Site) -> None:
    keeping(place)
    async with working(place.store, agent("never asked")):
        session = await place.session("worker", limit_microusd=100_000)
        key = place.store.workspace(WORKSPACE).account(f"s:{session.id}")
        await place.store.redis.call("HSET", key, "posted", 94_900)
        tid = await place.put(session)
        await state(place, tid, "waiting")
        await place.store.redis.call("HSET", key, "posted", 0)
        assert (await place.ended(tid)).state == "succeeded"


async def test_the_model_is_told_when_most_is_spent(place: Site) -> None:
    worker = buyer(ToolCall("c1", "dear"), "done")
    async with working(place.store, worker):
        session, turn = await place.run("worker", limit_microusd=110_000)
    assert turn.state == "succeeded"
    first, last = asked_of(worker)
    assert WARNING_NOTE not in first.system
    assert WARNING_NOTE in last.system
    assert (await place.kinds(session)).count("budget.warning") == 1


async def test_a_tool_waits_for_what_others_hold_and_is_refused_what_is_not_there(
    place: Site,
) -> None:
    worker = buyer(ToolCall("c1", "dear"), ToolCall("c2", "dear"), "done")
    async with working(place.store, worker):
        session = await place.session("worker", limit_microusd=100_000)
        key = place.store.workspace(WORKSPACE).account(f"s:{session.id}")
        # As if a child of the session held some of it.
        await place.store.redis.call("HINCRBY", key, "pending", 50_000)
        tid = await place.put(session)
        await state(place, tid, "waiting")
        await place.store.redis.call("HINCRBY", key, "pending", -50_000)
        assert (await place.ended(tid)).state == "succeeded"
    messages = await history.read_messages(place.store, WORKSPACE, session.id, last=20)
    first, second = [message for message in messages if isinstance(message, ToolMessage)]
    assert first.output == "bought"
    assert second.is_error
    assert "does not fit any more" in second.output


async def test_a_stream_that_is_longer_than_what_was_paid_for_is_cut(place: Site) -> None:
    endless = Reply(text="word " * 4000)
    async with working(place.store, agent(endless)):
        _, turn = await place.run("worker")
    assert (turn.state, turn.code) == ("failed", "output_bound")
    (entry,) = await read_ledger(place.store, WORKSPACE)
    assert (entry["op"], entry["actual"]) == ("unconfirmed", entry["cost"])


async def test_an_account_that_was_overdrawn_is_frozen_until_somebody_says_so(
    place: Site, bells: Bells
) -> None:
    dear_call = Reply(text="dear", usage=Usage(input_tokens=2_000_000, output_tokens=1))
    async with working(place.store, agent(dear_call, "done")):
        session, _ = await place.run("worker", limit_microusd=1_000_000)
        account = f"s:{session.id}"
        assert "budget.overrun" in await place.kinds(session)
        tid = await place.put(session)
        await state(place, tid, "waiting")
        (question,) = await read_questions(place.store, WORKSPACE)
        assert question.account.frozen
        assert question.account.overrun_microusd > 0
        await raise_limit(place, account, 5_000_000)
        assert (await place.turn(tid)).state == "waiting", "more money does not thaw it"
        change = LimitChange(acknowledge=True)
        await change_limit(place.store, WORKSPACE, account, change)
        await give(place.store, bells, WORKSPACE, account)
        assert (await place.ended(tid)).state == "succeeded"


async def test_a_fenced_worker_books_what_its_call_really_cost(place: Site) -> None:
    slow = Reply(text="late", delay_s=0.5)
    # With so rare renewals the worker learns only from its commit that it was replaced.
    async with working(place.store, agent(slow), renew_every_s=3.0):
        session = await place.session("worker")
        tid = await place.put(session)
        await place.seen(session, "step.started")
        await _take_away(place, session, tid)
        ws = place.store.workspace(WORKSPACE)

        async def corrected() -> bool:
            return [e["op"] for e in await read_ledger(place.store, WORKSPACE)][:1] == ["adjust"]

        await wait_until("the true cost", corrected)
        adjusted, booked = await read_ledger(place.store, WORKSPACE)
        (account,) = await read_accounts(place.store, WORKSPACE, ["ws"])
        assert booked["op"] == "unconfirmed"
        assert int(adjusted["actual"]) < 0
        true_cost = int(booked["actual"]) + int(adjusted["actual"])
        assert account.posted_microusd == true_cost > 0
        assert text(await place.store.redis.call("HGET", ws.turn(tid), "cost_microusd")) == str(
            true_cost
        )


async def _take_away(place: Site, session: SessionView, tid: str) -> None:
    """Another worker takes the session over and books the open hold in full."""
    keys = sessions.locate(place.store, WORKSPACE, session.id)

    async def stolen() -> Claimed | None:
        await place.store.redis.call("HSET", keys.hash, "lease_until_ms", 1)
        claimed = await leases.claim(place.store, keys, claimant("thief", 60_000), owner="thief")
        return claimed if isinstance(claimed, Claimed) else None

    thief: Claimed = await wait_until("a lease to steal", stolen)
    (field,) = [name for name in thief.effects if name.startswith("hold:")]
    await end_hold(
        place.store,
        keys,
        op="expire",
        hold_id=field.removeprefix("hold:"),
        names=text(thief.effects[field]),
        turn=tid,
    )
    await asyncio.sleep(0)
