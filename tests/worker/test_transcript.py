"""What a model is shown of a conversation."""

from collections.abc import AsyncIterator, Callable

import pytest

from bursar.agents import Agent
from bursar.messages import AssistantMessage, Message, ToolCall, ToolMessage, Usage, UserMessage
from bursar.store.codec import encode_message
from bursar.store.store import Store
from bursar_worker.transcript import Transcript, TranscriptReader, first_that_fits, unanswered

ASKED = AssistantMessage(tool_calls=(ToolCall("a", "t"), ToolCall("b", "t")))
RESULT_A = ToolMessage("a", "t", "1")
RESULT_B = ToolMessage("b", "t", "2")


def kept(messages: list[Message], max_bytes: int) -> list[Message]:
    sizes = [len(encode_message(message)) for message in messages]
    return messages[first_that_fits(messages, sizes, max_bytes) :]


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


class Reading:
    """A session's stored messages, and a reader that notes how many it fetched."""

    def __init__(
        self, store: Store, *, max_history_bytes: int = 10**6, max_kept_bytes: int = 10**6
    ) -> None:
        self.store = store
        self.session = store.workspace("acme").session("s1")
        self.reader = TranscriptReader(
            store, max_history_bytes=max_history_bytes, max_kept_bytes=max_kept_bytes
        )

    async def say(self, *texts: str, sid: str = "s1") -> None:
        key = self.store.workspace("acme").session(sid).messages
        await self.store.redis.call("RPUSH", key, *(encode_message(UserMessage(t)) for t in texts))

    async def texts(self, *, created_ms: str = "1", start: int = 0, sid: str = "s1") -> list[str]:
        session = self.store.workspace("acme").session(sid)
        read = await self.reader.read(
            session, Agent(name="a", model="local:echo"), created_ms=created_ms, context_start=start
        )
        return [message.text for message in read.messages if isinstance(message, UserMessage)]


@pytest.fixture
async def reading(store: Store) -> AsyncIterator[Callable[..., Reading]]:
    yield lambda **limits: Reading(store, **limits)
    for sid in ("s1", "s2"):
        await store.redis.call("DEL", store.workspace("acme").session(sid).messages)


async def test_a_turn_sees_a_summary_then_its_own_inputs_then_what_is_recent(
    reading: Callable[..., Reading],
) -> None:
    place = reading()
    await place.say("old", "do this", "and that", "recent")
    texts = {"summary": "It was about tides.", "inputs": "trn1 1 2"}
    for field, text in texts.items():
        await place.store.redis.call("HSET", place.session.text, field, text)

    async def seen(turn: str) -> list[str]:
        read = await place.reader.read(
            place.session,
            Agent(name="a", model="local:echo"),
            created_ms="1",
            context_start=3,
            turn=turn,
        )
        assert read.system == ""
        return [message.text for message in read.seen if isinstance(message, UserMessage)]

    head, *rest = await seen("trn1")
    assert head.startswith("[Summary of the conversation")
    assert head.endswith("It was about tides.")
    assert rest == ["do this", "and that", "recent"]
    assert await seen("trn2") == [head, "recent"], "inputs of an earlier turn are in the summary"
    await place.store.redis.call("DEL", place.session.text)


def test_usage_from_before_a_change_of_the_context_bounds_nothing() -> None:
    answer = AssistantMessage("answer", usage=Usage(input_tokens=100_000, output_tokens=10))
    history: list[Message] = [UserMessage("one"), answer, UserMessage("two")]
    transcript = Transcript("", list(history))
    transcript.move(1, "summary", {})
    assert transcript.messages == history[1:]
    usage, new = transcript.since_last_answer()
    assert usage is None
    assert len(new) == 3, "the summary counts, too"
    later = AssistantMessage("later", usage=Usage(input_tokens=50, output_tokens=5))
    transcript.add([later])
    assert transcript.since_last_answer() == (later.usage, [])
    read_again = Transcript("", [*history[1:], later], start=1, counted_from=3)
    assert read_again.since_last_answer() == (later.usage, [])


async def test_a_further_read_fetches_what_is_new(reading: Callable[..., Reading]) -> None:
    place = reading()
    await place.say("one", "two")
    assert await place.texts() == ["one", "two"]
    # Nobody changes what was written; if somebody did, this shows that it is not read again.
    await place.store.redis.call("LSET", place.session.messages, 0, b"\xc1")
    await place.say("three")
    assert await place.texts() == ["one", "two", "three"]


async def test_what_a_turn_adds_to_its_transcript_stays_its_own(
    reading: Callable[..., Reading],
) -> None:
    place = reading()
    await place.say("one")
    agent = Agent(name="a", model="local:echo")
    first = await place.reader.read(place.session, agent, created_ms="1", context_start=0)
    first.add([UserMessage("never committed")])
    assert await place.texts() == ["one"]


async def test_another_session_of_the_id_is_read_anew(reading: Callable[..., Reading]) -> None:
    place = reading()
    await place.say("one", "two")
    await place.texts()
    await place.store.redis.call("DEL", place.session.messages)
    await place.say("a", "b")
    assert await place.texts(created_ms="2") == ["a", "b"]


async def test_a_context_that_begins_further_on_is_not_read_again(
    reading: Callable[..., Reading],
) -> None:
    place = reading()
    await place.say("one", "two", "three")
    await place.texts()
    await place.store.redis.call("LSET", place.session.messages, 1, b"\xc1")
    await place.say("four")
    assert await place.texts(start=1) == ["two", "three", "four"]
    size = sum(len(encode_message(UserMessage(t))) for t in ("two", "three", "four"))
    assert place.reader._kept_bytes == size
    assert await place.texts(start=4) == []


async def test_a_context_that_begins_behind_what_is_known_is_read(
    reading: Callable[..., Reading],
) -> None:
    place = reading()
    await place.say("one")
    await place.texts()
    await place.say("two", "three")
    assert await place.texts(start=2) == ["three"]
    assert await place.texts(start=0) == ["one", "two", "three"], "it never moves back; but if"


async def test_a_history_cut_short_moves_on_from_where_it_was_cut(
    reading: Callable[..., Reading],
) -> None:
    place = reading(max_history_bytes=3 * len(encode_message(UserMessage("one"))))
    await place.say("one", "two", "six", "ten")
    assert await place.texts() == ["two", "six", "ten"]
    assert await place.texts(start=1) == ["two", "six", "ten"]
    assert await place.texts(start=3) == ["ten"]


async def test_a_history_that_grows_too_long_loses_its_oldest(
    reading: Callable[..., Reading],
) -> None:
    place = reading(max_history_bytes=3 * len(encode_message(UserMessage("one"))))
    await place.say("one", "two")
    await place.texts()
    await place.say("six", "ten")
    assert await place.texts() == ["two", "six", "ten"]
    await place.say("end")
    assert await place.texts() == ["six", "ten", "end"]


async def test_no_more_is_kept_than_allowed(reading: Callable[..., Reading]) -> None:
    place = reading(max_kept_bytes=len(encode_message(UserMessage("one"))))
    await place.say("one")
    await place.say("two", sid="s2")
    assert await place.texts() == ["one"]
    assert await place.texts(sid="s2") == ["two"]
    await place.store.redis.call(
        "LSET", place.session.messages, 0, encode_message(UserMessage("x"))
    )
    assert await place.texts() == ["x"], "it was dropped for the other one and is read again"
    assert place.reader._kept_bytes <= len(encode_message(UserMessage("one")))


async def test_a_look_at_the_end_is_not_kept(reading: Callable[..., Reading]) -> None:
    place = reading()
    await place.say("one", "two", "three")
    assert await place.texts(start=-2) == ["two", "three"]
    assert await place.texts() == ["one", "two", "three"]
