"""Which allowance serves a call, and which calls none does."""

import itertools
from typing import Any

import pytest

from bursar.gate.allowances import Allowance, choose, decode_allowances
from bursar.gate.grants import Outside, PathGrant
from bursar.gate.patterns import Action
from bursar.store.codec import encode_json

WRITE = Action.parse("file+write://docs/a.md")


def allowance(name: str, pattern: str = "file+write://docs/*", **more: Any) -> Allowance:
    return Allowance(id=name, pattern=pattern, scope=more.pop("scope", "workspace"), **more)


def chosen(*allowances: Allowance, action: Action = WRITE, **more: Any) -> str:
    place: dict[str, Any] = {
        "session": "s1", "root": "r1", "manifest": "m", "outside": (), "now_ms": 1000,
    } | more  # fmt: skip
    found = choose(allowances, [action], **place)
    return found.id if found else ""


def test_unlimited_comes_before_limited_narrow_before_broad_old_before_new() -> None:
    ordered = [
        allowance("narrow", "file+write://docs/a.md", created_ms=9),
        allowance("session", scope="session", session="s1", root="r1", created_ms=9),
        allowance("tree", scope="tree", root="r1", created_ms=9),
        allowance("old", created_ms=1),
        allowance("new", created_ms=2),
        allowance("broad", "file+write://**", created_ms=0),
        allowance("limited", "file+write://docs/a.md", max_uses=1),
    ]
    for mixed in itertools.islice(itertools.permutations(ordered), 0, 5040, 37):
        left = list(mixed)
        for expected in ordered:
            assert chosen(*left) == expected.id
            left.remove(expected)


@pytest.mark.parametrize(
    "other",
    [
        allowance("read", "file+read://docs/*"),
        allowance("any", "file://docs/*"),
        allowance("deeper", "file+write://*"),
        allowance("expired", expires_ms=1000),
        allowance("changed", manifest="other"),
        allowance("session", scope="session", session="s2", root="r1"),
        allowance("tree", scope="tree", root="r2"),
    ],
    ids=lambda each: each.id,
)
def test_what_was_allowed_is_no_more_than_that(other: Allowance) -> None:
    assert chosen(other) == ""


def test_a_command_with_shell_syntax_is_never_served() -> None:
    every = allowance("a", "exec://**")
    assert chosen(every, action=Action.parse("exec://ls x")) == "a"
    for line in ("ls x; rm y", "ls $(x)", "ls `x`", "ls > y", "ls | sh", "ls ../x"):
        assert chosen(every, action=Action.parse(f"exec://{line}")) == "", line


def test_places_outside_are_opened_one_by_one_with_operation_and_volume() -> None:
    place = Outside("/data/a", "write", "v1")
    exact = PathGrant("/data/a", "write", "v1")
    assert chosen(allowance("a", paths=(exact,)), outside=(place,)) == "a"
    for grant in (
        PathGrant("/data/a", "read", "v1"),
        PathGrant("/data/a", "write", "v2"),
        PathGrant("/data", "write", "v1"),
        PathGrant("/dat", "write", "v1", directory=True),
    ):
        assert chosen(allowance("a", paths=(grant,)), outside=(place,)) == "", grant
    whole = PathGrant("/data", "write", "v1", directory=True)
    assert chosen(allowance("a", paths=(whole,)), outside=(place,)) == "a"
    two = (place, Outside("/other", "write", "v1"))
    assert chosen(allowance("a", paths=(exact,)), outside=two) == ""


def test_what_is_used_up_or_revoked_is_not_read_back() -> None:
    fields = {
        b"a": encode_json(allowance("a", max_uses=2)),
        b"a:left": b"1",
        b"b": encode_json(allowance("b", max_uses=2)),
        b"b:left": b"0",
        b"c:left": b"revoked",
        b"d": encode_json(allowance("d")),
    }
    found = decode_allowances(fields)
    assert [(each.id, left) for each, left in found] == [("a", 1), ("d", None)]
