"""A part of a capability is no more than the whole, in any respect."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.errors import Denied, InvalidInput
from bursar.gate.capabilities import Capability, read_token, verify
from bursar.gate.grants import Outside, PathGrant
from bursar.gate.narrowing import check_narrower
from bursar.gate.patterns import Action
from bursar.gate.tokens import Claims, sign
from support.capabilities import NOW_MS, NOW_S, Ring, claims


@pytest.fixture
def ring() -> Ring:
    return Ring()


def _derived(parent: Claims, **changes: Any) -> Claims:
    given_depth = {"depth": parent.depth - 1}
    fresh = {"id": claims().id, "ancestors": (), "parent": ""}
    return msgspec.structs.replace(parent, **(fresh | given_depth | changes))


FOLDER = PathGrant("/data", "read", "v", directory=True)
WIDER: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("scope", {"subject": "tree:r1"}, {"subject": "workspace"}),
    ("scope", {"subject": "tree:r1"}, {"subject": "tree:r2"}),
    ("scope", {"subject": "tree:r1"}, {"subject": "session:r2/s1"}),
    ("scope", {"subject": "session:r1/s1"}, {"subject": "tree:r1"}),
    ("scope", {"subject": "session:r1/s1"}, {"subject": "session:r1/s2"}),
    ("expires_in_s", {}, {"expires_s": NOW_S + 3601}),
    ("starts_in_s", {"not_before_s": NOW_S + 1}, {"not_before_s": NOW_S}),
    ("single_use", {"single_use": True}, {"single_use": False}),
    ("depth", {"depth": 2}, {"depth": 2}),
    ("depth", {"depth": 0}, {"depth": 0}),
    ("manifest", {"manifest": "m1"}, {"manifest": ""}),
    ("manifest", {"manifest": "m1"}, {"manifest": "m2"}),
    ("outside[0]", {}, {"outside": (FOLDER,)}),
    (
        "outside[1]",
        {"outside": (FOLDER,)},
        {"outside": (FOLDER, PathGrant("/", "read", "v", True))},
    ),
    (
        "outside[0]",
        {"outside": (PathGrant("/data", "read", "v"),)},
        {"outside": (FOLDER,)},
    ),
    ("outside[0]", {"outside": (FOLDER,)}, {"outside": (PathGrant("/data/a", "write", "v"),)}),
    ("outside[0]", {"outside": (FOLDER,)}, {"outside": (PathGrant("/data/a", "read", "w"),)}),
    ("patterns[1]", {}, {"patterns": ("file+read://a", "file+write://a")}),
]


@pytest.mark.parametrize(("field", "above", "change"), WIDER)
def test_a_part_that_is_more_than_the_whole_is_refused_and_says_where(
    ring: Ring, field: str, above: dict[str, Any], change: dict[str, Any]
) -> None:
    """At mint, and once more at use, should somebody with our key have signed it all the same."""
    parent = claims(**above)
    wider = _derived(parent, **change)
    with pytest.raises(InvalidInput) as caught:
        check_narrower(wider, parent)
    assert (caught.value.field, caught.value.code) == (field, "capability_wider")
    whole = ring.mint(**above)
    token = ring.mint(whole, **({"depth": max(0, whole.claims.depth - 1)} | above | change)).token
    with pytest.raises(Denied) as at_use:
        verify(token, ring, workspace="acme", now_ms=NOW_MS + 5_000)
    assert at_use.value.code == "capability_wider"


@pytest.mark.parametrize(
    ("above", "change"),
    [
        ({}, {}),
        ({}, {"subject": "tree:r1"}),
        ({}, {"subject": "session:r1/s1"}),
        ({"subject": "tree:r1"}, {"subject": "session:r1/s1"}),
        ({}, {"expires_s": NOW_S + 10}),
        ({}, {"not_before_s": NOW_S + 1}),
        ({}, {"single_use": True}),
        ({}, {"manifest": "m1"}),
        ({}, {"depth": 0}),
        ({"outside": (FOLDER,)}, {"outside": (PathGrant("/data/a", "read", "v"),)}),
        ({"outside": (FOLDER,)}, {"outside": (PathGrant("/data/a", "read", "v", True),)}),
        ({"outside": (FOLDER,)}, {"outside": ()}),
        ({}, {"patterns": ("file+read://a", "file+read://b/**")}),
        (
            {"patterns": ("file+read://a", "file+read://b/**")},
            {"patterns": ("file+read://b/c", "file+read://a")},
        ),
    ],
)
def test_a_part_that_is_one_is_good(
    ring: Ring, above: dict[str, Any], change: dict[str, Any]
) -> None:
    parent = ring.mint(**above)
    child = ring.mint(parent, **(above | change))
    assert verify(child.token, ring, workspace="acme", now_ms=NOW_MS + 1000).chain == (parent.id,)


# -- allowed(child) ⊆ allowed(parent)

_words = st.sampled_from(["docs", "src", "*", "**", "a?", "a.md", "a*"])
_patterns = st.one_of(
    st.tuples(
        st.sampled_from(["file+read://", "file+write://", "file://"]),
        st.lists(_words, min_size=1, max_size=3).map("/".join),
    ).map("".join),
    st.sampled_from([
        "exec://**", "exec://git *", "exec://git **", "exec://git status", "exec://* status",
        "tool://mail/*", "tool://mail/send", "send", "s*", "net://*.org:*", "net://a.org:443",
        "net://**", "spawn://reader", "spawn://*",
    ]),
)  # fmt: skip
_subjects = st.sampled_from(
    ["workspace", "tree:r1", "tree:r2", "session:r1/s1", "session:r1/s2", "session:r2/s1"]
)
_rights = st.fixed_dictionaries({
    "subject": _subjects,
    "patterns": st.lists(_patterns, min_size=1, max_size=3).map(tuple),
    "expires_s": st.sampled_from([NOW_S + 10, NOW_S + 20]),
    "not_before_s": st.sampled_from([NOW_S, NOW_S + 5]),
    "single_use": st.booleans(),
    "depth": st.integers(0, 4),
    "manifest": st.sampled_from(["", "m1", "m2"]),
    "outside": st.lists(
        st.builds(
            PathGrant,
            st.sampled_from(["/data", "/data/a", "/etc"]),
            st.sampled_from(["read", "write"]),
            st.sampled_from(["v", "w"]),
            st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
})  # fmt: skip
_calls = st.tuples(
    st.sampled_from([
        "file+read://docs", "file+read://docs/a.md", "file+write://docs/a.md", "file+read://src/ab/c",
        "file://docs/a.md", "exec://git status", "exec://git push x", "exec://hg status",
        "exec://git status; x", "tool://mail/send", "tool://local/send", "net://a.org:443",
        "net://b.a.org:80", "spawn://reader", "file+read://docs/../a.md",
    ]).map(Action.parse),
    st.sampled_from([("s1", "r1"), ("s2", "r1"), ("s1", "r2"), ("r1", "r1"), ("x", "y")]),
    st.sampled_from(["", "m1", "m2"]),
    st.lists(
        st.builds(
            Outside,
            st.sampled_from(["/data", "/data/a", "/data/a/b", "/etc"]),
            st.sampled_from(["read", "write"]),
            st.sampled_from(["v", "w"]),
        ),
        max_size=1,
    ),
    st.sampled_from([NOW_MS, NOW_MS + 7_000, NOW_MS + 15_000, NOW_MS + 25_000]),
)  # fmt: skip

_RING = Ring()


def _allowed(token: Capability, call: tuple[Any, ...]) -> bool:
    """Whether a token alone allows a call, whatever it was derived from."""
    action, (session, root), manifest, outside, now_ms = call
    try:
        held = verify(token.token, _RING, workspace="acme", now_ms=now_ms)
    except Denied:
        return False
    return held.permits(action, session=session, root=root, manifest=manifest, outside=outside)


_FIELDS = ("subject", "patterns", "outside", "expires_s", "not_before_s", "single_use", "manifest")


def test_what_a_part_allows_the_whole_allows() -> None:
    """Of random pairs those that pass for whole and part; the part is tried without its chain."""
    passed: Counter[str] = Counter()

    @settings(max_examples=600)
    @given(_rights, _rights, st.sets(st.sampled_from(_FIELDS), max_size=3), st.data())
    def check(
        above: dict[str, Any], below: dict[str, Any], changed: set[str], data: st.DataObject
    ) -> None:
        parent = claims(**(above | {"depth": 4}))
        child = claims(**(above | {"depth": 3} | {name: below[name] for name in changed}))
        try:
            check_narrower(child, parent)
        except InvalidInput as error:
            assert error.code == "capability_wider"  # noqa: PT017
            return
        passed.update(changed)
        assert child.single_use or not parent.single_use
        whole = read_token(sign(parent, _RING.signing))
        part = read_token(sign(child, _RING.signing))
        for call in data.draw(st.lists(_calls, min_size=20, max_size=20)):
            assert _allowed(whole, call) or not _allowed(part, call), call

    check()
    assert {name for name in _FIELDS if passed[name] >= 5} == set(_FIELDS), "hardly any were tried"
