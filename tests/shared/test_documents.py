"""A document from outside is checked, and what is wrong in it names its place."""

import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bursar.documents import DOCUMENT_VERSION, read_document
from bursar.errors import InvalidInput

GOOD: dict[str, Any] = {
    "schema_version": DOCUMENT_VERSION,
    "exported_ms": 5,
    "workspace": "acme",
    "session": {"id": "s1", "agent": "echo", "context_start": 1, "message_count": 4},
    "budget": {"limit_microusd": 5, "spent_microusd": 3},
    "messages": [
        {"role": "user", "text": "hi", "custom": {"a": [1]}},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "name": "t"}],
            "usage": {"input_tokens": 1},
        },
        {"role": "tool", "call_id": "c", "name": "t", "output": "o", "is_error": True},
        {"role": "assistant", "text": "done", "partial": True},
    ],
}

Change = Callable[[dict[str, Any]], object]


def _changed(change: Change) -> bytes:
    document = copy.deepcopy(GOOD)
    change(document)
    return json.dumps(document).encode()


def _set(*path: str | int, value: Any) -> Change:
    def change(document: Any) -> None:
        for part in path[:-1]:
            document = document[part]
        document[path[-1]] = value

    return change


BAD: list[tuple[str, Change]] = [
    ("schema_version", _set("schema_version", value=0)),
    ("schema_version", _set("schema_version", value="1")),
    ("schema_version", lambda d: d.pop("schema_version")),
    ("session", lambda d: d.pop("session")),
    ("extra", _set("extra", value=1)),
    ("workspace", _set("workspace", value="A B")),
    ("session.id", _set("session", "id", value="a:b")),
    ("session.id", _set("session", "id", value="")),
    ("session.agent", lambda d: d["session"].pop("agent")),
    ("session.owner", _set("session", "owner", value="x")),
    ("session.context_start", _set("session", "context_start", value=5)),
    ("session.context_start", _set("session", "context_start", value=-1)),
    ("session.context_start", _set("session", "context_start", value=2)),
    ("session.message_count", _set("session", "message_count", value=3)),
    ("session.forked_from", _set("session", "forked_from", value="{x}")),
    ("session.summary", _set("session", "summary", value="x" * 300_000)),
    ("session.turn_count", _set("session", "turn_count", value=10**16)),
    ("session.tags", _set("session", "tags", value="a,b")),
    ("budget.spent_microusd", _set("budget", "spent_microusd", value=-1)),
    ("budget.posted", _set("budget", "posted", value=1)),
    ("messages", _set("messages", value={})),
    ("messages[0].role", _set("messages", 0, "role", value="system")),
    ("messages[0].text", _set("messages", 0, "text", value=5)),
    ("messages[0].at", _set("messages", 0, "at", value=5)),
    ("messages[0].at_ms", _set("messages", 0, "at_ms", value=-5)),
    ("messages[1].tool_calls", _set("messages", 1, "tool_calls", value="x")),
    ("messages[1].tool_calls[0].name", _set("messages", 1, "tool_calls", 0, "name", value=1)),
    ("messages[1].tool_calls[0].x", _set("messages", 1, "tool_calls", 0, "x", value=1)),
    ("messages[1].usage.input_tokens", _set("messages", 1, "usage", "input_tokens", value=-1)),
    ("messages[1].usage.cost", _set("messages", 1, "usage", "cost", value=1)),
    ("messages[1].tool_calls", lambda d: d["messages"].pop(2)),
    ("messages[1].tool_calls", lambda d: d.update(messages=d["messages"][:2])),
    ("messages[1].tool_calls", lambda d: d["messages"].insert(2, GOOD["messages"][0])),
    ("messages[2].call_id", _set("messages", 2, "call_id", value="d")),
    ("messages[3].call_id", lambda d: d["messages"].insert(2, GOOD["messages"][2])),
    ("messages[0].call_id", lambda d: d["messages"].insert(0, GOOD["messages"][2])),
]


def test_a_good_one_is_read() -> None:
    document = read_document(json.dumps(GOOD).encode())
    assert len(document.messages) == 4
    assert document.budget.spent_microusd == 3


@pytest.mark.parametrize(("field", "change"), BAD)
def test_what_is_wrong_names_its_place(field: str, change: Change) -> None:
    def without_count(document: dict[str, Any]) -> None:
        if field.startswith("messages"):
            del document["session"]["message_count"]
        change(document)

    with pytest.raises(InvalidInput) as caught:
        read_document(_changed(without_count))
    assert caught.value.field == field


def test_a_newer_version_is_refused_as_such_whatever_else_it_has() -> None:
    newer = {"schema_version": DOCUMENT_VERSION + 1, "session": [], "planets": 8}
    with pytest.raises(InvalidInput, match="version 2, which a newer Bursar wrote") as caught:
        read_document(json.dumps(newer).encode())
    assert (caught.value.field, caught.value.code) == ("schema_version", "document_too_new")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"schema_version":1', b"nonsense"])
def test_what_is_no_json_is_told_apart(data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeError)) as caught:
        read_document(data)
    assert not isinstance(caught.value, msgspec.ValidationError)


def test_calls_whose_ids_repeat_need_as_many_results() -> None:
    call, result = GOOD["messages"][1]["tool_calls"][0], GOOD["messages"][2]

    def twice(document: dict[str, Any]) -> None:
        document["session"].pop("message_count")
        document["messages"][1]["tool_calls"] = [call, call]

    with pytest.raises(InvalidInput, match="have no result: c"):
        read_document(_changed(twice))

    def answered(document: dict[str, Any]) -> None:
        twice(document)
        document["messages"].insert(2, result)

    assert len(read_document(_changed(answered)).messages) == 5
