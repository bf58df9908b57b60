from typing import Any

import msgspec
import pytest

from bursar.decoding import convert, parse_json
from bursar.errors import InvalidInput


class Inner(msgspec.Struct):
    names: dict[str, int]


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner
    rest: list[Inner] = []


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({}, "body.inner"),
        ({"inner": {}}, "body.inner.names"),
        ({"inner": {"names": {}}, "rest": [{"names": {}}, {}]}, "body.rest[1].names"),
        ({"inner": {"names": {"a": "b"}}}, "body.inner.names[...]"),
        ({"inner": {"names": {}}, "more": 1}, "body.more"),
        ([], "body"),
    ],
)
def test_the_wrong_place_is_named(value: Any, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        convert(value, Outer, field="body", prefix="body")
    assert caught.value.field == place
    with pytest.raises(InvalidInput) as caught:
        parse_json(
            msgspec.json.encode(value).decode(),
            msgspec.json.Decoder(Outer),
            field="body",
            prefix="body",
        )
    assert caught.value.field == place


def test_right_values_come_through() -> None:
    assert convert({"inner": {"names": {"a": 1}}}, Outer, field="body") == Outer(Inner({"a": 1}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("text", "expected JSON: JSON is malformed: "),
        ("", "expected JSON: input data was truncated"),
        ("[" * 5000, "expected JSON: "),
    ],
)
def test_what_is_no_json_is_said_in_words(given: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_json(given, msgspec.json.Decoder(Any), field="body")
    assert caught.value.message.startswith(said)
