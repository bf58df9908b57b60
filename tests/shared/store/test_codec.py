"""Values on their way to Redis and back."""

from decimal import Decimal

import msgspec
import pytest

from bursar.messages import AssistantMessage, Message, ToolCall, ToolMessage, Usage, UserMessage
from bursar.store.codec import (
    decode_json,
    decode_message,
    encode_json,
    encode_message,
    hash_fields,
    pairs,
    text,
    text_list,
)

MESSAGES: list[Message] = [
    UserMessage("hällo", turn="t", at_ms=5, custom={"a": [1, None]}),
    AssistantMessage(
        "x",
        reasoning="r",
        tool_calls=(ToolCall("c", "n", '{"a":'),),
        usage=Usage(3, 4),
        partial=True,
    ),
    ToolMessage("c", "n", "out", is_error=True, step=2),
    UserMessage(""),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


def test_a_message_names_its_role_and_leaves_defaults_out() -> None:
    assert msgspec.msgpack.decode(encode_message(UserMessage("x"))) == {"role": "user", "text": "x"}


def test_fields_of_a_later_version_are_ignored() -> None:
    later = msgspec.msgpack.encode({"role": "user", "text": "x", "mood": "good"})
    assert decode_message(later) == UserMessage("x")


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode({"role": "god"})])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_message(data)


def test_json_keeps_amounts_exact() -> None:
    assert encode_json({"a": Decimal("0.1")}) == b'{"a":"0.1"}'
    assert decode_json(encode_json({"n": 2**53 + 1}), dict[str, int]) == {"n": 2**53 + 1}


def test_absent_values_are_empty_text() -> None:
    assert [text(value) for value in (None, b"a", "b", 7)] == ["", "a", "b", "7"]
    assert text_list([b"a", None]) == ["a", ""]


def test_flat_replies_become_fields_and_values_stay_bytes() -> None:
    assert hash_fields([b"a", b"\xff", b"b", b""]) == {"a": b"\xff", "b": b""}


def test_pairs_count_themselves_and_write_flags_as_numbers() -> None:
    assert pairs({}) == [0]
    assert pairs({"a": True, "b": "x", "c": False}) == [3, "a", 1, "b", "x", "c", 0]
