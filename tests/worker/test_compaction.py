"""Contexts that near their model's window: what gives way to a summary, and what that costs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from bursar import history, sessions
from bursar.agents import Agent
from bursar.budgets.ledger import read_ledger
from bursar.errors import ModelError
from bursar.gate.policy import Policy
from bursar.messages import AssistantMessage, ToolCall, ToolMessage, UserMessage
from bursar.store.store import Store
from bursar.testing import Reply, ScriptedModel
from bursar.tools import tool
from bursar_worker.summarising import SUMMARY_INSTRUCTIONS
from support.dead_worker import announce_agent
from support.talker import FULL, WINDOW, Talker, agent, full_session, one_turn, texts
from support.workers import WORKSPACE, Site, site, working


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Site]:
    await announce_agent(store)
    async with site(store) as made:
        yield made


async def test_the_model_sees_the_summary_and_what_is_recent(place: Site) -> None:
    session, model = await full_session(place, system_prompt="Be kind."), Talker()
    session = await one_turn(place, model, session, "the question")
    assert len(model.summaries.requests) == 1
    head, *recent = model.seen
    assert head.startswith("[Summary of the conversation up to here")
    assert head.endswith("SUMMARY 0")
    assert [text.split()[:2] for text in recent[:-1]] == [["old", str(n)] for n in range(31, 40)]
    assert recent[-1] == "the question"
    assert model.answers.requests[-1].system == "Be kind.", "a summary is no instruction"
    assert session.context_start == 31
    assert session.summarised


async def test_the_session_says_how_small_its_context_is_by_then(place: Site) -> None:
    """Also if the answer that was asked for next never comes."""
    session, model = await full_session(place), Talker(ScriptedModel([ModelError("no")]))
    async with working(place.store, agent(model)):
        turn = await place.ended(await place.put(session))
    assert turn.state == "failed"
    session = await sessions.get(place.store, WORKSPACE, session.id)
    assert session.context_start == 31
    assert 10 * 300 // 4 < session.token_count < WINDOW // 2


async def test_a_child_is_shortened_too_and_all_above_it_pay(place: Site) -> None:
    parent = await place.session("worker", model="talker")
    child, model = await full_session(place, parent=parent.id), Talker()
    child = await one_turn(place, model, child)
    assert child.is_subagent
    assert child.summarised
    ledger = await read_ledger(place.store, WORKSPACE)
    (entry,) = [each for each in ledger if each["kind"] == "compact:talker"]
    assert entry["accounts"] == f"ws,user:ada,s:{parent.id},s:{child.id}"


async def test_a_model_that_does_not_say_its_window_has_that_of_the_settings(place: Site) -> None:
    session, model = await full_session(place, 20), Talker()
    model.max_input_tokens = 0
    await one_turn(place, model, session, context_window_tokens=100_000)
    assert model.summaries.requests == []
    await one_turn(place, model, session, context_window_tokens=1500)
    assert len(model.summaries.requests) == 1


async def test_what_was_summarised_is_all_that_is_no_longer_seen(place: Site) -> None:
    session, model = await full_session(place), Talker()
    await one_turn(place, model, session)
    assert [f"old {n} " in model.told for n in range(FULL)] == [n < 31 for n in range(FULL)]
    (request,) = model.summaries.requests
    assert request.tools == ()
    assert request.max_output_tokens == WINDOW // 8


async def test_the_full_history_stays_readable(place: Site) -> None:
    session, model = await full_session(place), Talker()
    before = await history.read_messages(place.store, WORKSPACE, session.id, last=1000)
    await one_turn(place, model, session)
    after = await history.read_messages(place.store, WORKSPACE, session.id, last=1000)
    assert after[: len(before)] == before
    assert len(after) == len(before) + 2


async def test_a_context_that_is_not_near_the_limit_is_left_alone(place: Site) -> None:
    session, model = await full_session(place, 25), Talker()
    session = await one_turn(place, model, session)
    assert model.summaries.requests == []
    assert (session.context_start, session.summarised) == (0, False)
    assert "context.compacted" not in await place.kinds(session)


async def test_it_is_paid_for_and_stands_in_all_books(place: Site) -> None:
    session, model = await full_session(place), Talker()
    session = await one_turn(place, model, session)
    ledger = await read_ledger(place.store, WORKSPACE)
    (entry,) = [each for each in ledger if each["kind"] == "compact:talker"]
    size = len(SUMMARY_INSTRUCTIONS.encode()) + len(model.told.encode())
    tokens = -(-size // 4)
    assert (entry["op"], int(entry["actual"])) == ("commit", tokens + 4 * 3)
    assert int(entry["cost"]) > int(entry["actual"])
    assert entry["accounts"] == f"ws,user:ada,s:{session.id}"
    turn = await place.turn(entry["turn"])
    assert turn.cost_microusd == sum(int(each["actual"]) for each in ledger)
    assert turn.input_tokens > tokens
    assert turn.steps == 1
    keys = sessions.locate(place.store, WORKSPACE, session.id)
    records = [
        msgspec.json.decode(fields[b"d"])
        for _, fields in await place.store.redis.call("XRANGE", keys.workspace.audit, "-", "+")
    ]
    (record,) = [each for each in records if each.get("details") == {"for": "summary"}]
    assert (record["action"], record["cost_microusd"]) == ("model://talker", int(entry["actual"]))
    log = await place.log(session)
    kinds = [event.kind for event in log]
    (told,) = [event.decode() for event in log if event.kind == "context.compacted"]
    assert (told["from"], told["to"], told["cost_microusd"]) == (0, 31, int(entry["actual"]))
    assert told["tokens_before"] > WINDOW * 0.85
    assert kinds.count("usage") == 2
    assert kinds.index("context.compacted") < kinds.index("step.started")
    assert [e.decode()["text"] for e in log if e.kind == "text.delta"] == ["yes"]


async def test_later_turns_go_on_from_there_and_the_next_summary_takes_up_the_first(
    place: Site,
) -> None:
    session, model = await full_session(place), Talker()
    async with working(place.store, agent(model)):
        for number in range(3):
            await place.ended(await place.put(session, f"short {number}"))
        assert len(model.summaries.requests) == 1, "the usage before it counts no more"
        for number in range(12):
            await place.ended(await place.put(session, f"new {number} ".ljust(900, "y")))
    assert len(model.summaries.requests) == 2
    assert "SUMMARY 0" in model.told
    assert "old 30 " not in model.told
    assert "old 31 " in model.told
    assert model.seen[0].endswith("SUMMARY 1")
    assert sum("Summary of the conversation" in text for text in model.seen) == 1


async def test_another_worker_goes_on_from_the_summary(place: Site) -> None:
    session = await full_session(place)
    await one_turn(place, Talker(), session)
    other = Talker()
    await one_turn(place, other, session, "again")
    assert other.summaries.requests == []
    assert other.seen[0].endswith("SUMMARY 0")
    assert [text.split()[0] for text in other.seen[1:]] == ["old"] * 9 + ["go", "yes", "again"]


@tool(effect="pure")
async def look(number: int) -> str:
    """Look at something long."""
    return f"found {number} ".ljust(700, "z")


async def test_a_long_turn_is_compacted_on_its_way_and_keeps_its_input_in_sight(
    place: Site,
) -> None:
    calls = [ToolCall("call_0", "look", f'{{"number": {n}}}') for n in range(45)]
    model = Talker(ScriptedModel([*calls, "all seen"]))
    one = agent(model, tools=[look], policy=Policy(allow=["look"]))
    async with working(place.store, one):
        session, turn = await place.run("worker", "look at many things", model="talker")
    assert (turn.state, turn.output, turn.steps) == ("succeeded", "all seen", 46)
    assert len(model.summaries.requests) >= 2
    for request in model.answers.requests:
        texts = [m.text for m in request.messages if isinstance(m, UserMessage)]
        assert texts[-1] == "look at many things"
        asked: set[str] = set()
        for message in request.messages:
            if isinstance(message, AssistantMessage):
                asked |= {call.id for call in message.tool_calls}
            elif isinstance(message, ToolMessage):
                assert message.call_id in asked
        assert len(request.messages) < 50
    assert session.context_start > 1


async def test_a_worker_that_takes_over_shows_the_turns_input_too(place: Site) -> None:
    """The input lies before the context by then; the next worker has to fetch it."""
    stop = asyncio.Event()
    calls = [ToolCall("call_0", "look", f'{{"number": {n}}}') for n in range(24)]

    def pause(_: Any) -> Reply:
        stop.set()
        return Reply(delay_s=60)

    model = Talker(ScriptedModel([*calls, pause]))
    options: dict[str, Any] = {"tools": [look], "policy": Policy(allow=["look"])}
    async with working(place.store, agent(model, **options), drain_s=0.1):
        session = await place.session("worker", model="talker")
        tid = await place.put(session, "look at many things")
        await asyncio.wait_for(stop.wait(), 15)
    assert len(model.summaries.requests) == 1
    other = Talker(ScriptedModel(["all seen"]))
    async with working(place.store, agent(other, **options)):
        turn = await place.ended(tid)
    assert turn.output == "all seen"
    assert other.seen[0].endswith("SUMMARY 0")
    assert other.seen[1] == "look at many things"


async def test_a_clear_drops_the_summary(place: Site) -> None:
    session, model = await full_session(place), Talker()
    await one_turn(place, model, session)
    cleared = await sessions.clear(place.store, WORKSPACE, session.id)
    assert (cleared.context_start, cleared.summarised) == (FULL + 2, False)
    await one_turn(place, model, session, "anew")
    assert model.seen == ["anew"]


async def test_it_can_be_turned_off(place: Site) -> None:
    session, model = await full_session(place), Talker()
    await one_turn(place, model, session, compact_percent=0)
    assert model.summaries.requests == []
    assert len(model.seen) == FULL + 1


async def test_nothing_is_summarised_that_would_not_shorten_the_context(place: Site) -> None:
    session, model = await full_session(place, 15), Talker()
    await one_turn(place, model, session, keep_recent=14, compact_percent=1)
    assert model.summaries.requests == [], "two messages are hardly longer than their summary"


async def test_local_models_make_a_summary_of_what_was_said(place: Site) -> None:
    facts = [
        "The harbour of Aveiro was dredged in March and the pilots report nine metres of depth.",
        "The invoice of the dredging company over forty thousand euros is still not paid.",
    ]
    one = Agent(name="worker", model="local:reader")
    session = await place.session("worker", model="local:reader")
    for text in (*facts, *("Nothing new to report about the harbour today. " * 2400,) * 12):
        await history.add_message(place.store, WORKSPACE, session.id, UserMessage(text))
    async with working(place.store, one):
        turn = await place.ended(await place.put(session, "What is open at the harbour?"))
    assert turn.state == "succeeded", turn
    summary = (await texts(place, session))[b"summary"].decode()
    assert "not paid" in summary
    assert "Aveiro" in summary
    assert len(summary) < 20_000
