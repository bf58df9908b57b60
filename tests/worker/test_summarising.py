"""Where a shortened context begins, and what is told to the model that summarises the rest."""

from hypothesis import given
from hypothesis import strategies as st

from bursar.messages import AssistantMessage, Message, ToolCall, ToolMessage, UserMessage
from bursar_worker.compaction import _inputs
from bursar_worker.summarising import begin_of_recent, told
from bursar_worker.transcript import Transcript

TURN = "trn_now"


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    """Turns as workers write them; call ids begin anew in each answer, as some providers' do."""
    messages: list[Message] = []
    turns = draw(st.integers(1, 4))
    for number in range(turns):
        turn = TURN if number == turns - 1 else f"trn_{number}"
        messages.append(UserMessage("do it", turn=turn))
        for _ in range(draw(st.integers(0, 4))):
            calls = [ToolCall(f"call_{i}", "t") for i in range(draw(st.integers(0, 4)))]
            messages.append(AssistantMessage("so", tool_calls=tuple(calls), turn=turn))
            messages += [ToolMessage(call.id, "t", "done", turn=turn) for call in calls]
            if draw(st.booleans()):
                messages.append(UserMessage("and that", turn=turn))
    return messages


def without_call(messages: list[Message]) -> list[Message]:
    """Results that no answer before them has asked for."""
    asked: set[str] = set()
    lonely: list[Message] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            asked |= {call.id for call in message.tool_calls}
        elif isinstance(message, ToolMessage) and message.call_id not in asked:
            lonely.append(message)
    return lonely


def without_result(messages: list[Message]) -> list[ToolCall]:
    """Calls that have no result before the next answer."""
    open_calls: dict[str, ToolCall] = {}
    lonely: list[ToolCall] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            lonely += open_calls.values()
            open_calls = {call.id: call for call in message.tool_calls}
        elif isinstance(message, ToolMessage):
            open_calls.pop(message.call_id, None)
    return [*lonely, *open_calls.values()]


@given(histories(), st.integers(1, 12))
def test_no_call_is_separated_from_its_results(history: list[Message], keep: int) -> None:
    begin = begin_of_recent(history, keep)
    before, after = history[:begin], history[begin:]
    assert without_call(after) == []
    assert without_result(before) == without_result(after) == []
    if begin < len(history) and begin:
        assert not isinstance(history[begin], ToolMessage)


@given(histories(), st.integers(1, 12))
def test_the_newest_are_kept_and_a_step_at_most_beyond(history: list[Message], keep: int) -> None:
    begin = begin_of_recent(history, keep)
    assert len(history) - begin >= min(keep, len(history))
    wanted = max(0, len(history) - keep)
    between = history[begin:wanted]
    assert all(isinstance(message, ToolMessage) for message in between[1:])


@given(histories(), st.integers(1, 12), st.integers(0, 1000))
def test_the_inputs_of_the_turn_stay_in_sight_however_often_it_moves(
    history: list[Message], keep: int, start: int
) -> None:
    transcript = Transcript("", list(history), start=start)
    while begin := begin_of_recent(transcript.messages, keep):
        inputs = _inputs(transcript, begin, TURN)
        transcript.move(transcript.start + begin, "a summary", inputs)
    said = [m for m in history if isinstance(m, UserMessage) and m.turn == TURN]
    seen = [m for m in transcript.seen if isinstance(m, UserMessage) and m.turn == TURN]
    assert seen == said
    assert transcript.end == start + len(history)
    assert transcript.last_input == said[-1].text


def test_an_input_of_unknown_turn_stays_in_sight_if_it_is_the_only_one() -> None:
    history: list[Message] = [UserMessage("old"), UserMessage("go"), AssistantMessage("a")]
    transcript = Transcript("", history)
    assert _inputs(transcript, 2, TURN) == {1: UserMessage("go")}
    assert _inputs(transcript, 1, TURN) == {}


def test_a_turn_that_many_inputs_joined_sees_its_own_and_the_newest() -> None:
    history: list[Message] = [UserMessage(str(i), turn=TURN) for i in range(100)]
    kept = _inputs(Transcript("", history), 100, TURN)
    assert list(kept) == [0, *range(69, 100)]


def test_what_is_told_has_every_message_and_the_earlier_summary() -> None:
    history: list[Message] = [
        UserMessage("read it"),
        AssistantMessage("I will.", tool_calls=(ToolCall("c", "read", '{"path": "a.md"}'),)),
        ToolMessage("c", "read", "forty-two"),
        ToolMessage("d", "send", "no such host", is_error=True),
        ToolMessage("e", "pay", "cut off", is_error=True, unknown=True),
    ]
    parts = [
        "Summary of what was said before:\nIt began well.",
        "User: read it",
        'Assistant: I will.\nAssistant called read with {"path": "a.md"}',
        "Tool read answered: forty-two",
        "Tool send failed: no such host",
        "Tool pay was cut off, its outcome is unknown: cut off",
    ]
    assert told("It began well.", history, 10_000).split("\n\n") == parts


@given(
    st.lists(st.text(max_size=3000), max_size=30), st.text(max_size=2000), st.integers(400, 20_000)
)
def test_what_is_told_is_never_longer_than_allowed(
    outputs: list[str], earlier: str, max_bytes: int
) -> None:
    history: list[Message] = [ToolMessage("c", "t", output) for output in outputs]
    assert len(told(earlier, history, max_bytes).encode()) <= max_bytes


def test_long_outputs_are_shortened_before_anything_is_left_out() -> None:
    history: list[Message] = [
        UserMessage("the question"),
        *(ToolMessage("c", "t", f"begin {'x' * 50_000} end") for _ in range(5)),
    ]
    text = told("", history, 20_000)
    assert "the question" in text
    assert text.count("begin ") == text.count(" end") == 5
