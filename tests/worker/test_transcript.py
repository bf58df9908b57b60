"""What a model is shown of a conversation."""

from bursar.messages import AssistantMessage, Message, ToolCall, ToolMessage, Usage, UserMessage
from bursar.store.codec import decode_message, encode_message
from bursar_worker.transcript import Transcript, newest, unanswered

ASKED = AssistantMessage(tool_calls=(ToolCall("a", "t"), ToolCall("b", "t")))
RESULT_A = ToolMessage("a", "t", "1")
RESULT_B = ToolMessage("b", "t", "2")


def kept(messages: list[Message], max_bytes: int) -> list[Message]:
    return [decode_message(raw) for raw in newest([encode_message(m) for m in messages], max_bytes)]


def test_a_short_history_is_shown_whole() -> None:
    history: list[Message] = [UserMessage("hi"), ASKED, RESULT_A, RESULT_B]
    assert kept(history, 10_000) == history


def test_a_long_one_begins_with_a_users_message_so_that_no_result_lacks_its_call() -> None:
    history: list[Message] = [
        UserMessage("old " * 100),
        ASKED,
        RESULT_A,
        RESULT_B,
        UserMessage("new"),
        AssistantMessage("answer"),
    ]
    size = sum(len(encode_message(message)) for message in history[2:])
    assert kept(history, size) == history[4:]


def test_the_newest_message_is_shown_however_large_it_is() -> None:
    assert kept([UserMessage("a"), UserMessage("b" * 999)], 10) == [UserMessage("b" * 999)]


def test_unanswered_finds_the_answer_whose_calls_are_open() -> None:
    assert unanswered([UserMessage("hi"), ASKED]) == ASKED
    assert unanswered([UserMessage("hi"), ASKED, RESULT_A]) == ASKED
    assert unanswered([UserMessage("hi"), ASKED, RESULT_A, RESULT_B]) is None
    assert unanswered([UserMessage("hi"), AssistantMessage("done")]) is None
    assert unanswered([]) is None


def test_the_bound_of_a_call_builds_on_the_last_real_usage() -> None:
    usage = Usage(input_tokens=100, output_tokens=10)
    answer = AssistantMessage("answer", usage=usage)
    transcript = Transcript("", [UserMessage("one"), answer, UserMessage("two")])
    assert transcript.since_last_answer() == (usage, [UserMessage("two")])
    assert Transcript("", [UserMessage("one")]).since_last_answer() == (None, [UserMessage("one")])
