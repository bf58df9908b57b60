"""What a capability permits, when it is good, and that no part of it is more than the whole."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from bursar.errors import Denied
from bursar.gate.capabilities import Capability, decode_stored, read_token, verify
from bursar.gate.grants import Outside, PathGrant
from bursar.gate.patterns import Action
from bursar.gate.tokens import MAX_TOKEN_CHARS, sign
from bursar.signing import SigningKey
from support.capabilities import NOW_MS, NOW_S, Ring, claims, public_of

READ = Action.parse("file+read://docs/a.md")


@pytest.fixture
def ring() -> Ring:
    return Ring()


def permits(
    held: Capability, action: str | Action, session: str = "s1", root: str = "r1", **more: Any
) -> bool:
    parsed = Action.parse(action) if isinstance(action, str) else action
    return held.permits(parsed, session=session, root=root, **more)


def refused(ring: Ring, token: str, *, workspace: str = "acme", **more: Any) -> str:
    """The code with which a token is refused."""
    with pytest.raises(Denied) as caught:
        verify(token, ring, workspace=workspace, **({"now_ms": NOW_MS} | more))
    assert caught.value.field == "token"
    return caught.value.code


# -- what one permits


def test_its_patterns_say_what_it_permits(ring: Ring) -> None:
    held = ring.mint(patterns=("file+read://docs/**", "exec://git status", "net://example.org:443"))
    for action in ("file+read://docs/a/b", "exec://git status", "net://EXAMPLE.org:443"):
        assert permits(held, action), action
    for action in (
        "file+write://docs/a",
        "file+read://etc/a",
        "exec://git push",
        "exec://git status; rm -rf y",
        "net://example.org:80",
        "tool://local/read",
    ):
        assert not permits(held, action), action


@pytest.mark.parametrize(
    "action", ["file+read://docs/../etc/passwd", "exec://cat ../x", "exec://git x && y"]
)
def test_a_parent_step_and_shell_syntax_never_match(ring: Ring, action: str) -> None:
    assert not permits(ring.mint(patterns=("file+read://**", "exec://**")), action)


@pytest.mark.parametrize(
    ("subject", "session", "root", "expected"),
    [
        ("workspace", "s9", "r9", True),
        ("tree:r1", "s9", "r1", True),
        ("tree:r1", "r1", "r1", True),
        ("tree:r1", "s1", "r2", False),
        ("tree:r1", "s1", "", False),
        ("session:r1/s1", "s1", "r1", True),
        ("session:r1/s1", "s2", "r1", False),
        ("session:r1/s1", "s1", "r2", False),
        ("session:r1/s1", "r1", "r1", False),
    ],
)
def test_it_is_for_the_sessions_that_it_names(
    ring: Ring, subject: str, session: str, root: str, expected: bool
) -> None:
    assert permits(ring.mint(subject=subject), READ, session, root) == expected


def test_of_a_tool_it_means_the_form_that_it_names(ring: Ring) -> None:
    held = ring.mint(manifest="m1")
    assert permits(held, READ, manifest="m1")
    assert not permits(held, READ, manifest="m2")
    assert not permits(held, READ)
    assert permits(ring.mint(), READ, manifest="m2")


def test_a_place_outside_is_opened_only_if_it_says_so(ring: Ring) -> None:
    there = Outside("/data/a/b", "read", "v1")
    assert not permits(ring.mint(), READ, outside=[there])
    folder = PathGrant("/data/a", "read", "v1", directory=True)
    held = ring.mint(outside=(folder,))
    assert permits(held, READ, outside=[there])
    for other in (
        Outside("/data/ab", "read", "v1"),
        Outside("/data/a/b", "write", "v1"),
        Outside("/data/a/b", "read", "v2"),
    ):
        assert not permits(held, READ, outside=[other])
        assert not permits(held, READ, outside=[there, other])


# -- when one is good


def test_a_good_token_is_what_it_says(ring: Ring) -> None:
    made = ring.mint(single_use=True, subject="session:r1/s1")
    found = verify(made.token, ring, workspace="acme", now_ms=NOW_MS)
    assert (found.id, found.scope, found.session, found.root) == (made.id, "session", "s1", "r1")
    assert (found.expires_ms, found.single_use, found.chain) == (NOW_MS + 3_600_000, True, ())


def test_it_counts_from_its_beginning_up_to_its_end(ring: Ring) -> None:
    token = ring.mint(not_before_s=NOW_S + 10, expires_s=NOW_S + 20).token
    assert refused(ring, token, now_ms=NOW_MS + 9_999) == "capability_not_yet"
    assert verify(token, ring, workspace="acme", now_ms=NOW_MS + 10_000)
    assert verify(token, ring, workspace="acme", now_ms=NOW_MS + 19_999)
    assert refused(ring, token, now_ms=NOW_MS + 20_000) == "capability_expired"


def test_another_workspace_or_installation_is_foreign(ring: Ring) -> None:
    token = ring.mint().token
    assert refused(ring, token, workspace="beta") == "capability_foreign"
    ring.issuer = "bursar:2"
    assert refused(ring, token) == "capability_foreign"


def test_what_was_revoked_is_refused_with_all_that_stems_from_it(ring: Ring) -> None:
    parent = ring.mint()
    child = ring.mint(parent)
    grandchild = ring.mint(child)
    assert refused(ring, grandchild.token, revoked={parent.id}) == "capability_revoked"
    assert refused(ring, child.token, revoked=[child.id]) == "capability_revoked"
    assert verify(parent.token, ring, workspace="acme", now_ms=NOW_MS, revoked={child.id})


def test_keys_have_a_say_about_all_that_they_signed(ring: Ring) -> None:
    """After a rotation old tokens are good; after a revocation nothing below them is either."""
    old = ring.signing
    parent = ring.mint()
    rotated = Ring(others={old.kid: public_of(old, "retired")})
    assert verify(parent.token, rotated, workspace="acme", now_ms=NOW_MS)
    child = rotated.mint(parent)
    assert verify(child.token, rotated, workspace="acme", now_ms=NOW_MS)
    after = rotated.revoking(old)
    assert refused(after, parent.token) == "capability_key_revoked"
    assert refused(after, child.token) == "capability_key_revoked"
    assert verify(after.mint().token, after, workspace="acme", now_ms=NOW_MS)
    assert refused(Ring(), parent.token) == "capability_unknown_key"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"id": "a b"}, "jti"),
        ({"workspace": "A"}, "aud"),
        ({"subject": "everything"}, "sub"),
        ({"subject": "session:r1"}, "sub"),
        ({"subject": "tree:"}, "sub"),
        ({"patterns": ()}, "res"),
        ({"patterns": ("file+read://a/../b",)}, "pattern"),
        ({"patterns": ("a",) * 21}, "res"),
        ({"expires_s": NOW_S}, "exp"),
        ({"not_before_s": NOW_S - 1}, "exp"),
        ({"issued_s": -1, "not_before_s": 0}, "exp"),
        ({"expires_s": NOW_S + 30 * 86_400 + 1}, "exp"),
        ({"depth": 5}, "dep"),
        ({"depth": -1}, "dep"),
        ({"ancestors": ("cap_x",)}, "anc"),
        ({"outside": (PathGrant("data"),)}, "out"),
    ],
)
def test_what_none_can_say_is_malformed_also_with_a_good_signature(
    ring: Ring, change: dict[str, Any], what: str
) -> None:
    with pytest.raises(Denied, match=re.escape(what)) as caught:
        ring.mint(**change)
    assert caught.value.code == "capability_malformed"


def test_a_token_that_is_not_like_its_ancestors_is_malformed(ring: Ring) -> None:
    parent, other = ring.mint(), ring.mint()
    for change in (
        {"parent": parent.token},
        {"parent": parent.token, "ancestors": (other.id,)},
        {"parent": parent.token, "ancestors": (parent.id, other.id)},
        {"parent": parent.token, "ancestors": (parent.id,), "id": parent.id},
        {"parent": "x.y.z"},
    ):
        with pytest.raises(Denied) as caught:
            read_token(sign(claims(**change), ring.signing))
        assert caught.value.code == "capability_malformed"


def test_a_token_that_is_too_long_is_none(ring: Ring) -> None:
    note = "x" * MAX_TOKEN_CHARS
    with pytest.raises(Denied) as caught:
        read_token(sign(claims(note=note), ring.signing))
    assert caught.value.code == "capability_malformed"


def test_all_above_have_to_permit_it_too(ring: Ring) -> None:
    """Whatever was signed: what counts is what all of the line permit."""
    parent = ring.mint(patterns=("file+read://docs/**",), subject="tree:r1", manifest="m1")
    child = ring.mint(parent, patterns=("file+read://**",))
    assert permits(child, READ, manifest="m1")
    assert not permits(child, "file+read://etc/a", manifest="m1")
    assert not permits(child, READ, root="r2", manifest="m1")
    assert not permits(child, READ, manifest="m2")


def test_all_that_stems_from_a_single_use_token_shares_its_use(ring: Ring) -> None:
    plain = ring.mint()
    single = ring.mint(plain, single_use=True)
    below = ring.mint(single, single_use=True)
    assert plain.use_id == plain.id
    assert (single.use_id, below.use_id) == (single.id, single.id)
    assert below.parts("c1") == (
        below.expires_ms, 1, "c1", single.id, below.id, single.id, plain.id,
    )  # fmt: skip
    assert plain.parts("c1") == (plain.expires_ms, 0, "c1", plain.id, plain.id)


# -- those that are kept


def _fields(*tokens: Capability) -> dict[bytes, bytes]:
    return {token.id.encode(): token.token.encode() for token in tokens}


def test_stored_ones_are_tried_in_a_fixed_order_and_bad_ones_do_not_matter(ring: Ring) -> None:
    broad = ring.mint(patterns=("file+read://**",))
    narrow = ring.mint(patterns=("file+read://docs/*",))
    single = ring.mint(patterns=("file+read://docs/a.md",), single_use=True)
    fields = _fields(single, broad, narrow) | {b"x": b"no token", b"y": b"\xff"}
    found = decode_stored(fields, workspace="acme", keys=ring)
    assert [stored.capability.id for stored in found] == [narrow.id, broad.id, single.id]


def test_revoked_ones_are_left_out_with_all_that_stem_from_them(ring: Ring) -> None:
    parent = ring.mint()
    child, other = ring.mint(parent), ring.mint()
    fields = _fields(parent, child, other)
    found = decode_stored(fields, workspace="acme", keys=ring, revoked=[parent.id.encode()])
    assert [stored.capability.id for stored in found] == [other.id]


def _for_call(ring: Ring, held: Capability, **more: Any) -> Capability | None:
    used = more.pop("used", None)
    (stored,) = decode_stored(_fields(held), workspace="acme", keys=ring, used=used)
    options: dict[str, Any] = {
        "session": "s1",
        "root": "r1",
        "manifest": "",
        "outside": (),
        "now_ms": NOW_MS,
    }
    return stored.for_call([READ], **(options | more))


def test_a_stored_one_is_verified_when_it_is_used(ring: Ring) -> None:
    held = ring.mint(subject="tree:r1")
    assert _for_call(ring, held) == held
    assert _for_call(ring, held, root="r2") is None
    for now_ms in (NOW_MS - 1, held.expires_ms):
        assert _for_call(ring, held, now_ms=now_ms) is None
    codes: list[tuple[Callable[[], Any], str]] = [
        (lambda: _for_call(ring.revoking(ring.signing), held), "capability_key_revoked"),
        (lambda: _for_call(ring, ring.mint(workspace="beta")), "capability_foreign"),
        (lambda: _for_call(ring, Ring(SigningKey.generate()).mint()), "capability_unknown_key"),
    ]
    for use, code in codes:
        with pytest.raises(Denied) as caught:
            use()
        assert caught.value.code == code


def test_a_used_one_serves_only_the_call_that_used_it(ring: Ring) -> None:
    """The call may come again, when the worker died that had begun it."""
    single = ring.mint(single_use=True)
    below = ring.mint(single, single_use=True)
    used = {single.id.encode(): b"c1"}
    for held in (single, below):
        assert _for_call(ring, held, call="c1") == held
        assert _for_call(ring, held, used=used, call="c1") == held
        assert _for_call(ring, held, used=used, call="c2") is None
        assert _for_call(ring, held, used=used) is None
    assert _for_call(ring, ring.mint(), used=used, call="c2") is not None
