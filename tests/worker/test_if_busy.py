"""Inputs that come while a turn is under way: they join it, interrupt it, or are refused."""

import pytest

from bursar import history, sessions
from bursar.agents import Agent
from bursar.errors import Conflict, ModelError
from bursar.messages import AssistantMessage, Message, ToolCall, ToolMessage, UserMessage
from bursar.models import ModelRequest
from bursar.queue import Bells
from bursar.sessions import SessionView
from bursar.testing import ScriptedModel
from support.dead_worker import DeadWorker, announce_agent
from support.held import HeldModel, HeldTool, soon
from support.workers import WORKSPACE, Site, wait_until, working

CALL = ToolCall("c1", "look")
LATER = ModelError("later", retryable=True, status=429, retry_after_s=300)


def said(messages: list[Message] | tuple[Message, ...]) -> list[str]:
    """A conversation in short: who spoke, and what."""
    short = []
    for message in messages:
        if isinstance(message, UserMessage):
            short.append(f"user: {message.text}")
        elif isinstance(message, ToolMessage):
            short.append(f"tool: {message.output}")
        elif message.tool_calls:
            short.append("agent: " + " ".join(call.id for call in message.tool_calls))
        else:
            short.append(f"agent: {message.text}")
    return short


async def talk(place: Site, session: SessionView) -> list[str]:
    return said(await history.read_messages(place.store, WORKSPACE, session.id, last=100))


def looking(model: ScriptedModel, *tools: HeldTool) -> Agent:
    return Agent(name="worker", model=model, tools=[each.tool for each in tools])


async def test_an_input_that_joins_is_seen_at_the_next_step(place: Site) -> None:
    look, model = HeldTool(), ScriptedModel([CALL, "done"])
    async with working(place.store, looking(model, look)):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(look.begun, "tool")
        assert await place.put(session, "and the tides", if_busy="inject") == tid
        look.go.set()
        await place.ended(tid)
    assert said(model.requests[1].messages)[-1] == "user: and the tides"


async def test_an_input_that_joins_while_tools_run_comes_after_all_their_results(
    place: Site,
) -> None:
    one, two = HeldTool("one"), HeldTool("two")
    model = ScriptedModel([[ToolCall("c1", "one"), ToolCall("c2", "two")], "done"])
    async with working(place.store, looking(model, one, two)):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(one.begun, "tool")
        await soon(two.begun, "tool")
        two.go.set()
        await place.seen(session, "tool.finished")
        await place.put(session, "hurry", if_busy="inject")
        one.go.set()
        await place.ended(tid)
    assert await talk(place, session) == [
        "user: go", "agent: c1 c2", "tool: seen", "tool: seen", "user: hurry", "agent: done",
    ]  # fmt: skip


async def test_an_input_that_joins_while_the_last_answer_streams_takes_one_more_step(
    place: Site,
) -> None:
    model = HeldModel(["first answer", "second answer"])
    async with working(place.store, looking(model)):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(model.begun, "answer")
        await place.put(session, "one more thing", if_busy="inject")
        model.go.set()
        turn = await place.ended(tid)
    assert (turn.output, turn.steps) == ("second answer", 2)
    assert await talk(place, session) == [
        "user: go", "agent: first answer", "user: one more thing", "agent: second answer",
    ]  # fmt: skip


async def test_a_turn_does_not_end_over_an_input_that_its_worker_has_not_heard_of(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> None:
        """The poke that would tell the worker."""

    monkeypatch.setattr(Bells, "poke", lost)
    model = HeldModel(["first answer", "second answer"])
    async with working(place.store, looking(model), lease_ms=60_000, renew_every_s=30):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(model.begun, "answer")
        await place.put(session, "one more thing", if_busy="inject")
        model.go.set()
        assert (await place.ended(tid)).output == "second answer"
    assert said(model.requests[1].messages)[-1] == "user: one more thing"


async def test_a_turn_that_went_on_for_a_late_input_ends_once(place: Site) -> None:
    model = HeldModel(["first answer", "second answer"])
    async with working(place.store, looking(model)):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(model.begun, "answer")
        await place.put(session, "one more thing", if_busy="inject")
        model.go.set()
        await place.ended(tid)
    kinds = await place.kinds(session)
    assert [kind for kind in kinds if kind.startswith("turn.")] == [
        "turn.queued", "turn.started", "turn.succeeded",
    ]  # fmt: skip


async def test_two_inputs_that_join_keep_their_order(place: Site) -> None:
    look, model = HeldTool(), ScriptedModel([CALL, "done"])
    async with working(place.store, looking(model, look)):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(look.begun, "tool")
        for words in ("first", "second"):
            await place.put(session, words, if_busy="inject")
        look.go.set()
        await place.ended(tid)
    assert said(model.requests[1].messages)[-2:] == ["user: first", "user: second"]


async def test_an_input_that_joined_a_cancelled_turn_stays_in_the_history(place: Site) -> None:
    look, model = HeldTool(), ScriptedModel([CALL, "next"])
    async with working(place.store, looking(model, look)):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(look.begun, "tool")
        await place.put(session, "by the way", if_busy="inject")
        await place.inputs.cancel(WORKSPACE, tid)
        assert (await place.ended(tid)).state == "cancelled"
    assert (await talk(place, session))[-1] == "user: by the way"


async def test_an_input_that_joined_a_failed_turn_stays_in_the_history(place: Site) -> None:
    model = HeldModel([CALL, ModelError("no such model", status=404)])
    look = HeldTool()
    look.go.set()
    async with working(place.store, looking(model, look)):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(model.begun, "answer")
        await place.put(session, "by the way", if_busy="inject")
        model.go.set()
        assert (await place.ended(tid)).state == "failed"
    assert "user: by the way" in await talk(place, session)


async def test_an_input_that_joined_is_seen_once_though_its_worker_died(place: Site) -> None:
    await announce_agent(place.store)
    session = await place.session("worker")
    tid = await place.put(session)
    await DeadWorker.take(place, session, tid, lease_ms=500)
    await place.put(session, "by the way", if_busy="inject")
    model = ScriptedModel(["done"])
    async with working(place.store, looking(model)):
        assert (await place.ended(tid)).state == "succeeded"
    assert await talk(place, session) == ["user: go", "user: by the way", "agent: done"]


async def test_an_input_to_join_a_session_at_rest_is_a_turn_of_its_own(place: Site) -> None:
    async with working(place.store, looking(ScriptedModel(["one", "two"]))):
        session, first = await place.run("worker")
        second = await place.put(session, "again", if_busy="inject")
        assert second != first.id
        assert (await place.ended(second)).output == "two"


async def parked(place: Site) -> tuple[SessionView, str]:
    """A session with a turn that waits for its provider, minutes from now."""
    session = await place.session("worker")
    tid = await place.put(session)
    await place.seen(session, "turn.waiting")
    return session, tid


async def test_an_input_that_joins_a_parked_turn_wakes_no_model_call(place: Site) -> None:
    model = ScriptedModel([LATER, "too early"])
    async with working(place.store, looking(model)):
        session, tid = await parked(place)
        await place.put(session, "are you there", if_busy="inject")

        async def parked_again() -> bool:
            return (await place.kinds(session)).count("turn.waiting") == 2

        await wait_until("turn that waits again", parked_again)
        assert (await place.turn(tid)).state == "waiting"
        assert len(model.requests) == 1
        await place.inputs.cancel(WORKSPACE, tid)
        await place.ended(tid)


async def test_a_parked_turn_sees_what_joined_it_when_its_time_has_come(place: Site) -> None:
    model = ScriptedModel([LATER, "now"])
    async with working(place.store, looking(model)):
        session, tid = await parked(place)
        await place.put(session, "are you there", if_busy="inject")
        keys = sessions.locate(place.store, WORKSPACE, session.id)
        timer = keys.timer("wake", tid)
        # Parked again it sets the timer anew, so it is made due until the turn is awake.

        async def awake() -> bool:
            await place.store.redis.call("ZADD", keys.workspace.shard.timers, "XX", 1, timer)
            return len(model.requests) == 2

        await wait_until("second model call", awake)
        assert (await place.ended(tid)).output == "now"
    assert said(model.requests[1].messages) == ["user: go", "user: are you there"]


async def interrupted(place: Site) -> tuple[SessionView, str, str, ScriptedModel]:
    """A turn that was interrupted in the middle of its answer, and the one after it."""
    model = HeldModel(["never mind the rest", "as you wish"])
    async with working(place.store, looking(model)):
        session = await place.session("worker")
        first = await place.put(session)
        await place.seen(session, "text.delta")
        second = await place.put(session, "stop, do this", if_busy="interrupt")
        await place.ended(second)
    return session, first, second, model


async def test_an_input_that_interrupts_cancels_the_turn_under_way(place: Site) -> None:
    _, first, _, _ = await interrupted(place)
    turn = await place.turn(first)
    assert (turn.state, turn.reason) == ("cancelled", "interrupted by a newer input")


async def test_an_interrupted_turn_keeps_its_partial_text(place: Site) -> None:
    session, first, _, _ = await interrupted(place)
    messages = await history.read_messages(place.store, WORKSPACE, session.id, last=10)
    cut = [message for message in messages if message.turn == first][-1]
    assert isinstance(cut, AssistantMessage)
    assert (cut.text, cut.partial) == ("never ", True)


async def test_an_input_that_interrupts_runs_next_and_sees_what_was_said(place: Site) -> None:
    _, _, second, model = await interrupted(place)
    assert (await place.turn(second)).output == "as you wish"
    assert said(model.requests[1].messages) == [
        "user: go", "agent: never ", "user: stop, do this",
    ]  # fmt: skip


async def test_an_input_that_interrupts_a_parked_turn_does_not_wait_for_it(place: Site) -> None:
    async with working(place.store, looking(ScriptedModel([LATER, "at once"]))):
        session, first = await parked(place)
        second = await place.put(session, "do this", if_busy="interrupt")
        assert (await place.ended(second)).output == "at once"
        assert (await place.turn(first)).state == "cancelled"


async def test_an_input_that_interrupts_stays_behind_those_that_wait(place: Site) -> None:
    order: list[str] = []

    def note(request: ModelRequest) -> str:
        order.append(said(request.messages)[-1])
        return "done"

    model = HeldModel(["long answer", note, note])
    async with working(place.store, looking(model)):
        session = await place.session("worker")
        await place.put(session)
        await soon(model.begun, "answer")
        await place.put(session, "in line")
        last = await place.put(session, "urgent", if_busy="interrupt")
        await place.ended(last)
    assert order == ["user: in line", "user: urgent"]


async def test_an_input_that_does_not_wait_is_refused_while_a_turn_runs(place: Site) -> None:
    model = HeldModel(["answer"])
    async with working(place.store, looking(model)):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(model.begun, "answer")
        with pytest.raises(Conflict) as refused:
            await place.put(session, "now or never", if_busy="reject")
        assert refused.value.code == "session_busy"
        model.go.set()
        await place.ended(tid)


async def test_an_input_that_does_not_wait_runs_in_a_session_at_rest(place: Site) -> None:
    async with working(place.store, looking(ScriptedModel(["one", "two"]))):
        session, _ = await place.run("worker")
        tid = await place.put(session, "now or never", if_busy="reject")
        assert (await place.ended(tid)).output == "two"
