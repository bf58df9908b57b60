"""``bursar capabilities`` and ``bursar keys`` for those that sign."""

import io
import json
import time
from typing import Any

import pytest

from bursar.gate.grants import volume_of
from support.command import Bursar
from support.stub_gateway import Answer, StubGateway, problem

WS = "/v1/workspaces/default/capabilities"


def view(**members: Any) -> dict[str, Any]:
    two_hours = int(time.time() * 1000) + 7_300_000
    base = {
        "id": "cap_1", "workspace": "default", "patterns": ["file+read://docs/**"],
        "scope": "workspace", "session": "", "root": "", "issued_ms": 1, "expires_ms": two_hours,
        "single_use": False, "depth": 1, "audit_seq": 7, "created_by": "key:k1", "kid": "sk_1",
    }  # fmt: skip
    return base | members


def minted(**members: Any) -> dict[str, Any]:
    return {"token": "e.y.j", "capability": view(**members)}


def test_a_token_is_all_that_stdout_gets(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {WS}", minted())
    ran = bursar("capabilities", "mint", "file+read://docs/**", "send")
    assert (ran.status, ran.out) == (0, "e.y.j\n")
    assert ran.err == "cap_1 is in force for the workspace and ends in 2 h\n"
    assert stub.seen[0].body == {"patterns": ["file+read://docs/**", "send"], "expires_in_s": 3600}
    assert json.loads(bursar("capabilities", "mint", "send", "--json").out)["token"] == "e.y.j"


def test_every_option_of_a_mint_is_sent(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {WS}", minted(scope="session", session="s1"))
    ran = bursar(
        "capabilities", "mint", "send", "--session", "s1", "--expires", "30d", "--starts", "10min",
        "--once", "--depth", "0", "--manifest", "m1", "--note", "why", "--volume", "v1",
        "--outside", "read:/data/a", "--outside", "write:/data/",
    )  # fmt: skip
    assert "in force for session s1" in ran.err
    assert stub.seen[0].body == {
        "patterns": ["send"], "scope": "session", "session": "s1", "expires_in_s": 2_592_000,
        "starts_in_s": 600, "single_use": True, "depth": 0, "manifest": "m1", "note": "why",
        "outside": [
            {"path": "/data/a", "operation": "read", "volume": "v1"},
            {"path": "/data", "operation": "write", "volume": "v1", "directory": True},
        ],
    }  # fmt: skip


def test_a_place_is_on_the_volume_that_it_is_on_here(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {WS}", minted(scope="tree", root="r1"))
    ran = bursar("capabilities", "mint", "send", "--tree", "s1", "--outside", "read:/")
    assert "in force for the tree of r1" in ran.err
    assert stub.seen[0].body["scope"] == "tree"
    (place,) = stub.seen[0].body["outside"]
    assert place == {"path": "/", "operation": "read", "volume": volume_of("/"), "directory": True}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["mint", "a", "--session", "s", "--tree", "s"], "--session"),
        (["mint", "a", "--expires", "soon"], "--expires"),
        (["mint", "a", "--starts", "1y"], "--starts"),
        (["mint", "a", "--outside", "/data"], "--outside"),
        (["mint", "a", "--outside", "run:/data"], "--outside"),
        (["mint", "a", "--outside", "read:data"], "--outside"),
        (["mint", "a", "--depth", "5"], "--depth"),
        (["mint"], "PATTERN"),
        (["derive"], "TOKEN"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_asked(
    bursar: Bursar, stub: StubGateway, arguments: list[str], named: str
) -> None:
    ran = bursar("capabilities", *arguments)
    assert (ran.status, named in ran.err) == (2, True), ran.err
    assert stub.seen == []


def test_a_part_has_what_is_given_and_leaves_the_rest(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {WS}/derive", minted())
    assert bursar("capabilities", "derive", "a.b.c").out == "e.y.j\n"
    assert bursar("capabilities", "derive", "a.b.c", "send", "--once").status == 0
    assert [seen.body for seen in stub.seen] == [
        {"token": "a.b.c"},
        {"token": "a.b.c", "patterns": ["send"], "single_use": True},
    ]


def test_a_token_comes_from_a_pipe_too(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.on(f"POST {WS}/derive", minted())
    monkeypatch.setattr("sys.stdin", io.StringIO("a.b.c\n"))
    bursar("capabilities", "derive", "-")
    assert stub.seen[0].body == {"token": "a.b.c"}


def test_an_inspection_says_what_it_permits_and_why_not(bursar: Bursar, stub: StubGateway) -> None:
    revoked = {"state": "revoked", "code": "capability_revoked", "why": "cap_0 was revoked"}
    place = {"path": "/data", "operation": "read", "volume": "v", "directory": True}
    shown = view(outside=[place], ancestors=["cap_0"], note="[b]for Ann[/b]\x1b[2J")
    stub.on(f"POST {WS}/inspect", revoked | {"capability": shown}, {"state": "valid"})
    out = bursar("capabilities", "inspect", "cap_1").out
    for words in (
        "revoked", "cap_0 was revoked", "file+read://docs/**", "read of /data/**", "any number",
        "by key:k1", "audit entry 7", "[b]for Ann[/b]�",
    ):  # fmt: skip
        assert words in out, words
    assert bursar("capabilities", "inspect", "a.b.c").out.split() == ["state", "valid"]
    assert [seen.body for seen in stub.seen] == [{"id": "cap_1"}, {"token": "a.b.c"}]
    assert json.loads(bursar("capabilities", "inspect", "cap_1", "--json").out)["state"] == "valid"


def test_they_are_listed_with_their_state(bursar: Bursar, stub: StubGateway) -> None:
    valid = {"state": "valid", "capability": view()}
    used = {
        "state": "used",
        "capability": view(id="cap_2", single_use=True, scope="tree", root="r1"),
    }
    stub.on(f"GET {WS}", [valid, used], [], [valid])
    _, first, second = bursar("capabilities", "list").out.splitlines()
    assert first.split() == [
        "cap_1",
        "valid",
        "the",
        "workspace",
        "in",
        "2",
        "h",
        "file+read://docs/**",
    ]
    assert second.split()[:6] == ["cap_2", "used", "the", "tree", "of", "r1"]
    assert "no capabilities" in bursar("capabilities", "list").out
    assert json.loads(bursar("capabilities", "list", "--json").out)[0]["state"] == "valid"


def test_revoking_and_bringing_back(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"DELETE {WS}/cap_1", Answer(status=204))
    assert bursar("capabilities", "revoke", "cap_1").out == "cap_1 is revoked\n"
    refused = problem(403, "capability_revoked", "a capability was revoked: cap_1")
    stub.on(f"POST {WS}/import", refused, {"state": "valid", "capability": view()})
    ran = bursar("capabilities", "import", "a.b.c")
    assert (ran.status, ran.err) == (2, "bursar: a capability was revoked: cap_1\n")
    assert "valid" in bursar("capabilities", "import", "a.b.c").out


def test_signing_keys_are_listed_rotated_and_revoked(bursar: Bursar, stub: StubGateway) -> None:
    key = {"kid": "sk_1", "public": "AAAA", "state": "current", "created_ms": 1}
    stub.on("GET /v1/signing-keys", [key])
    stub.on("POST /v1/signing-keys/rotate", key | {"kid": "sk_2"})
    stub.on("DELETE /v1/signing-keys/sk_1", key | {"state": "revoked"})
    assert bursar("keys", "signing").out.splitlines()[1].split()[:3] == ["sk_1", "current", "AAAA"]
    assert bursar("keys", "rotate").out == "sk_2 signs from now on\n"
    assert bursar("keys", "revoke-signing", "sk_1").out.startswith("sk_1 is revoked")
    for command in (["signing"], ["rotate"], ["revoke-signing", "sk_1"]):
        assert json.loads(bursar("keys", *command, "--json").out)
