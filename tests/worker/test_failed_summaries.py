"""Summaries that are not made, or not to their end: the context stays, and the books are right."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bursar import sessions
from bursar.budgets.ledger import read_ledger
from bursar.errors import ModelError
from bursar.messages import Usage
from bursar.models import ModelEvent, ModelRequest
from bursar.store.scripts.budgets import HoldWish, reserve
from bursar.store.store import Store
from bursar.testing import Reply, ScriptedModel
from support.dead_worker import DeadWorker, announce_agent
from support.talker import Talker, agent, full_session, grow, one_turn, texts
from support.workers import WORKSPACE, Site, site, wait_until, working


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Site]:
    await announce_agent(store)
    async with site(store) as made:
        yield made


@pytest.mark.parametrize(
    ("answer", "op"),
    [
        (ModelError("no", status=500), "released"),
        (ModelError("no whole answer"), "unconfirmed"),
        (Reply(text="half a", error=ModelError("cut off")), "unconfirmed"),
        (RuntimeError("broken"), "unconfirmed"),
        (Reply(text="  "), "commit"),
    ],
)
async def test_a_summary_that_fails_leaves_all_as_it_was_and_the_turn_goes_on(
    place: Site, answer: Any, op: str
) -> None:
    session, model = await full_session(place, 34), Talker(summaries=ScriptedModel([answer]))
    near = Reply(text="yes", usage=Usage(input_tokens=3600, output_tokens=1))
    model.answers = ScriptedModel([near] * 3)
    async with working(place.store, agent(model)):
        for _ in range(3):
            turn = await place.ended(await place.put(session))
            assert turn.state == "succeeded"
    session = await sessions.get(place.store, WORKSPACE, session.id)
    assert (session.context_start, session.summarised) == (0, False)
    assert await texts(place, session) == {}
    assert len(model.seen) == 34 + 5
    assert len(model.summaries.requests) == 1, "it is not tried again until the context has grown"
    ledger = await read_ledger(place.store, WORKSPACE)
    assert [e["op"] for e in ledger if e["kind"] == "compact:talker"] == [op]


async def test_it_is_tried_again_when_the_context_has_grown(place: Site) -> None:
    refused = ModelError("no", status=500)
    session, model = await full_session(place), Talker(summaries=ScriptedModel([refused, "SUM"]))
    model.max_input_tokens = 5000
    used = [Usage(input_tokens=tokens, output_tokens=1) for tokens in (4400, 4500, 1000)]
    model.answers = ScriptedModel([Reply(text="yes", usage=usage) for usage in used])
    await one_turn(place, model, session)
    await one_turn(place, model, session, "x" * 300)
    assert len(model.summaries.requests) == 1
    await one_turn(place, model, session, "x" * 900)
    assert len(model.summaries.requests) == 2
    assert model.seen[0].endswith("SUM")


async def test_no_money_for_it_leaves_all_as_it_was_and_the_turn_goes_on(place: Site) -> None:
    model = Talker()
    model.answers = ScriptedModel([Reply(text="yes", usage=Usage(3500, 10)), "yes", "yes"])
    session = await place.session(
        "worker", model="talker", limit_microusd=8_000, per_action_microusd=8_000
    )
    await grow(place, session, 13)
    # The first answer says what the context takes: the next call is bounded by that, a summary by
    # its bytes, for which the purse is too small.
    session = await one_turn(place, model, session)
    before = await texts(place, session)
    session = await one_turn(place, model, session, keep_recent=2)
    assert model.summaries.requests == []
    assert len(model.answers.requests) == 2
    assert await texts(place, session) == before
    assert session.context_start == 0


async def test_a_cancel_stops_it_and_books_what_was_held(place: Site) -> None:
    model = Talker(summaries=ScriptedModel([Reply(text="long", delay_s=60)]))
    session = await full_session(place)
    async with working(place.store, agent(model)):
        tid = await place.put(session)

        async def asked() -> bool:
            return bool(model.summaries.requests)

        await wait_until("request for a summary", asked)
        await place.inputs.cancel(WORKSPACE, tid, "enough")
        turn = await place.ended(tid)
    assert (turn.state, turn.reason) == ("cancelled", "enough")
    session = await sessions.get(place.store, WORKSPACE, session.id)
    assert (session.context_start, session.state) == (0, "idle")
    (entry,) = await read_ledger(place.store, WORKSPACE)
    assert (entry["op"], entry["kind"]) == ("unconfirmed", "compact:talker")


async def test_one_that_was_lost_with_its_worker_is_booked_and_made_again(place: Site) -> None:
    session, model = await full_session(place), Talker()
    tid = await place.put(session)
    dead = await DeadWorker.take(place, session, tid)
    wish = HoldWish(
        hold_id=f"{session.id}/{tid}/1/1/compact",
        secret="s",
        cost_microusd=700,
        tokens=9,
        sent=True,
        ttl_ms=60_000,
        turn=tid,
        step=1,
        kind="compact:talker",
        price="flat",
    )
    await reserve(place.store, dead.lease, dead.path, wish)
    async with working(place.store, agent(model)):
        turn = await place.ended(tid)
    assert turn.state == "succeeded"
    assert model.seen[0].endswith("SUMMARY 0")
    assert "step.abandoned" not in await place.kinds(session), "no answer was under way"
    ledger = await read_ledger(place.store, WORKSPACE)
    assert [(e["op"], e["id"].split("/")[3:]) for e in reversed(ledger)] == [
        ("unconfirmed", ["1", "compact"]),
        ("commit", ["2", "compact"]),
        ("commit", ["1"]),
    ]


async def test_a_worker_that_was_replaced_meanwhile_books_what_it_really_cost(
    place: Site,
) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    class Waiting(Talker):
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
            asked.set()
            await go.wait()
            async for event in super().stream(request):
                yield event

    session, model = await full_session(place), Waiting()
    keys = sessions.locate(place.store, WORKSPACE, session.id)
    # No renewal in between: the worker finds out when it wants to write.
    async with working(place.store, agent(model), lease_ms=60_000, renew_every_s=30):
        await place.put(session)
        await asyncio.wait_for(asked.wait(), 15)
        await place.store.redis.call("HSET", keys.hash, "owner", "another")
        go.set()

        async def booked() -> bool:
            return bool(await read_ledger(place.store, WORKSPACE))

        await wait_until("entry in the ledger", booked)
    (entry,) = await read_ledger(place.store, WORKSPACE)
    assert (entry["op"], entry["kind"]) == ("commit", "compact:talker")
    assert int(entry["actual"]) < int(entry["cost"])
    session = await sessions.get(place.store, WORKSPACE, session.id)
    assert session.context_start == 0
    assert model.answers.requests == []
