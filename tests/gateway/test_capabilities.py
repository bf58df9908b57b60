"""Capabilities over HTTP: given out, made narrower, looked at, ended, brought back; and by whom."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import httpx
import msgspec
import pytest

from bursar.gate.capabilities import read_token
from bursar.gate.tokens import sign
from bursar.settings import GatewaySettings
from bursar.signing import SigningKey
from bursar.store.keys import GlobalKeys
from bursar.store.store import Store
from support.gateway import Running, wait_until
from support.schema import undocumented
from support.stage import unchanged

WS = "/v1/workspaces/acme/capabilities"
RIGHT: dict[str, Any] = {"patterns": ["file+write://reports/**"]}


@pytest.fixture
def gateway_settings(gateway_settings: GatewaySettings) -> GatewaySettings:
    """Nothing is sealed meanwhile, so that what is unchanged stays so."""
    return gateway_settings.model_copy(update={"seal_every_s": 3600})


@pytest.fixture
async def approver(
    live: Running, admin: httpx.AsyncClient, sid: str
) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who may give rights out in acme, but is no administrator."""
    wish = {"name": "ann", "workspaces": ["acme"], "approver": True}
    made = await admin.post("/v1/keys", json=wish)
    call = live.gateway.store.redis.call
    await wait_until(
        lambda: _is_one(call("EXISTS", GlobalKeys.audit_state)), "the first round of sealing"
    )
    async with live.client(made.json()["token"]) as client:
        yield client


async def _is_one(reply: Awaitable[Any]) -> bool:
    return bool(await reply == 1)


@pytest.fixture
async def backend(
    live: Running, admin: httpx.AsyncClient, sid: str
) -> AsyncIterator[httpx.AsyncClient]:
    """A key of acme that may give its agents inputs and nothing more."""
    made = await admin.post("/v1/keys", json={"name": "backend", "workspaces": ["acme"]})
    async with live.client(made.json()["token"]) as client:
        yield client


async def mint(client: httpx.AsyncClient, **more: Any) -> tuple[str, dict[str, Any]]:
    """A token, and what it says."""
    answer = await client.post(WS, json=RIGHT | more)
    assert answer.status_code == 201, answer.text
    return answer.json()["token"], answer.json()["capability"]


async def derive(client: httpx.AsyncClient, token: str, **more: Any) -> httpx.Response:
    return await client.post(f"{WS}/derive", json={"token": token, **more})


async def inspect(client: httpx.AsyncClient, **which: str) -> dict[str, Any]:
    answer = await client.post(f"{WS}/inspect", json=which)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(answer: httpx.Response, status: int, code: str, field: str = "") -> None:
    body = answer.json()
    assert (answer.status_code, body["code"], body.get("field", "")) == (status, code, field), body


async def audited(store: Store) -> list[dict[str, Any]]:
    entries = await store.redis.call("XRANGE", store.workspace("acme").audit, "-", "+")
    found = [msgspec.json.decode(fields[b"d"]) for _, fields in entries]
    return [entry for entry in found if entry["action"].startswith("capability.")]


# -- giving out


async def test_a_right_is_given_out_for_an_hour_and_is_in_force(
    approver: httpx.AsyncClient, store: Store
) -> None:
    token, said = await mint(approver, note="for Ann")
    assert said["expires_ms"] - said["issued_ms"] == 3_600_000
    assert (said["scope"], said["single_use"], said["depth"]) == ("workspace", False, 1)
    assert await inspect(approver, token=token) == {
        "state": "valid", "code": "", "why": "", "capability": said,
    }  # fmt: skip
    assert await inspect(approver, id=said["id"]) == await inspect(approver, token=token)
    assert (await approver.get(WS)).json() == [await inspect(approver, token=token)]
    assert await undocumented(store) == []


async def test_who_approved_it_stands_in_the_audit_log_at_the_place_that_it_names(
    approver: httpx.AsyncClient, store: Store
) -> None:
    _, said = await mint(approver)
    approved, made = await audited(store)
    assert (approved["seq"], approved["action"]) == (said["audit_seq"], "capability.approve")
    assert (approved["decision"], approved["actor"]) == ("allow", said["created_by"])
    assert (made["action"], made["proof_id"]) == ("capability.mint", said["id"])
    assert made["details"]["patterns"] == RIGHT["patterns"]
    assert said["created_by"].startswith("key:")


async def test_it_can_be_for_a_session_or_its_tree(approver: httpx.AsyncClient, sid: str) -> None:
    _, said = await mint(approver, scope="session", session=sid)
    assert (said["scope"], said["session"], said["root"]) == ("session", sid, sid)
    _, said = await mint(approver, scope="tree", session=sid)
    assert (said["scope"], said["session"], said["root"]) == ("tree", "", sid)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"patterns": []}, "patterns"),
        ({"patterns": ["a"] * 21}, "patterns"),
        ({"patterns": ["a", "file+read://../a"]}, "patterns[1]"),
        ({"patterns": ["ftp://x"]}, "patterns[0]"),
        ({"patterns": ["file+read://" + chr(96 + n) * 900 for n in range(1, 21)]}, "patterns"),
        ({"scope": "world"}, "scope"),
        ({"scope": "session"}, "session"),
        ({"scope": "tree", "session": "a b"}, "session"),
        ({"session": "ses_1"}, "session"),
        ({"expires_in_s": 0}, "expires_in_s"),
        ({"expires_in_s": 30 * 86_400 + 1}, "expires_in_s"),
        ({"expires_in_s": "3600"}, "expires_in_s"),
        ({"starts_in_s": 3600}, "starts_in_s"),
        ({"starts_in_s": -1}, "starts_in_s"),
        ({"depth": 5}, "depth"),
        ({"depth": -1}, "depth"),
        ({"manifest": "a b"}, "manifest"),
        ({"manifest": "m" * 129}, "manifest"),
        ({"outside": [{"path": "data"}]}, "outside[0]"),
        ({"outside": [{"path": "/a/../b"}]}, "outside[0]"),
        ({"outside": [{"path": "/a", "operation": "run"}]}, "outside[0]"),
        ({"note": "x" * 201}, "note"),
        ({"for_ever": True}, "for_ever"),
    ],
)
async def test_a_wrong_wish_is_named_and_changes_nothing(
    approver: httpx.AsyncClient, store: Store, change: dict[str, Any], field: str
) -> None:
    async with unchanged(store):
        answer = await approver.post(WS, json=RIGHT | change)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


async def test_a_session_that_is_not_there_or_has_ended_gets_none(
    approver: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    async with unchanged(store):
        wish = RIGHT | {"scope": "session", "session": "ses_nobody"}
        refused(await approver.post(WS, json=wish), 404, "session_not_found")
    await approver.post(f"{base}/end", json={})
    wish["session"] = sid
    refused(await approver.post(WS, json=wish), 409, "session_ended")


async def test_a_full_workspace_gets_no_more(
    approver: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursar.gate.minting.MAX_CAPABILITIES", 1)
    await mint(approver)
    async with unchanged(store):
        refused(await approver.post(WS, json=RIGHT), 429, "capabilities_full")


# -- parts


async def test_a_part_is_as_the_whole_where_nothing_is_said(
    approver: httpx.AsyncClient, backend: httpx.AsyncClient, store: Store, sid: str
) -> None:
    token, whole = await mint(approver, single_use=True, manifest="m1", expires_in_s=600, depth=2)
    answer = await derive(backend, token)
    part = answer.json()["capability"]
    for same in ("patterns", "scope", "expires_ms", "single_use", "manifest", "audit_seq"):
        assert part[same] == whole[same], same
    assert (part["ancestors"], part["depth"]) == ([whole["id"]], 1)
    below = await derive(backend, answer.json()["token"], scope="session", session=sid)
    assert below.json()["capability"]["ancestors"] == [part["id"], whole["id"]]
    assert (await inspect(backend, token=below.json()["token"]))["state"] == "valid"
    assert [entry["action"] for entry in await audited(store)][2:] == ["capability.derive"] * 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"patterns": ["file+write://**"]}, "patterns[0]"),
        ({"patterns": ["file+write://reports/a", "file+read://reports/a"]}, "patterns[1]"),
        ({"scope": "workspace"}, "scope"),
        ({"expires_in_s": 3700}, "expires_in_s"),
        ({"single_use": False}, "single_use"),
        ({"depth": 1}, "depth"),
        ({"manifest": "m2"}, "manifest"),
        ({"outside": [{"path": "/etc"}]}, "outside[0]"),
    ],
)
async def test_more_than_the_whole_is_refused_and_changes_nothing(
    approver: httpx.AsyncClient, store: Store, sid: str, change: dict[str, Any], field: str
) -> None:
    token, _ = await mint(approver, scope="tree", session=sid, single_use=True, manifest="m1")
    async with unchanged(store):
        refused(await derive(approver, token, **change), 422, "capability_wider", field)


async def test_other_wrong_parts_are_named(
    approver: httpx.AsyncClient, store: Store, sid: str
) -> None:
    token, _ = await mint(approver, depth=0)
    async with unchanged(store):
        refused(await derive(approver, token), 422, "capability_too_deep", "token")
    token, _ = await mint(approver)
    async with unchanged(store):
        refused(await derive(approver, token, session=sid), 422, "invalid_input", "scope")
        answer = await derive(approver, token, patterns=["x://y"])
        refused(answer, 422, "invalid_input", "patterns[0]")


async def test_a_part_dies_with_the_whole(approver: httpx.AsyncClient) -> None:
    token, whole = await mint(approver, depth=2)
    part = (await derive(approver, token)).json()["token"]
    below = (await derive(approver, part)).json()["token"]
    assert (await approver.delete(f"{WS}/{whole['id']}")).status_code == 204
    for each in (token, part, below):
        found = await inspect(approver, token=each)
        assert (found["state"], found["code"]) == ("revoked", "capability_revoked")
        assert whole["id"] in found["why"]
    refused(await derive(approver, part), 403, "capability_revoked")


# -- what is no good


async def forged(live: Running, admin: httpx.AsyncClient, token: str) -> dict[str, str]:
    """Tokens that must do nothing, by the code with which each is refused."""
    key = live.gateway.signing.current
    said = read_token(token).claims
    old = {"issued_s": 1, "not_before_s": 1, "expires_s": 2}
    late = {"not_before_s": said.expires_s - 1}
    head, payload, signature = token.split(".")
    swapped = signature[:20] + ("A" if signature[20] != "A" else "B") + signature[21:]

    def signed(by: SigningKey, **changes: Any) -> str:
        return sign(msgspec.structs.replace(said, id="cap_forged", **changes), by)

    return {
        "capability_malformed": "not a token",
        "capability_signature": f"{head}.{payload}.{swapped}",
        "capability_unknown_key": signed(SigningKey.generate()),
        "capability_foreign": signed(key, workspace="beta"),
        "capability_expired": signed(key, **old),
        "capability_not_yet": signed(key, **late),
        "capability_not_stored": signed(key),
    }


async def test_what_is_no_good_is_refused_with_its_own_code_and_changes_nothing(
    live: Running, admin: httpx.AsyncClient, approver: httpx.AsyncClient, store: Store
) -> None:
    token, _ = await mint(approver)
    bad = await forged(live, admin, token)
    async with unchanged(store):
        for code, each in bad.items():
            field = "" if code == "capability_not_stored" else "token"
            refused(await derive(approver, each), 403, code, field)
            found = await inspect(approver, token=each)
            assert (found["state"] == "valid", found["code"]) == (False, code)
            if code not in {"capability_not_yet", "capability_not_stored"}:
                answer = await approver.post(f"{WS}/import", json={"token": each})
                refused(answer, 403, code, "token")
        foreign = await inspect(approver, token=bad["capability_foreign"])
    assert foreign["capability"] is None, "what it says is nobody's business here"


async def test_a_revoked_one_stays_so(approver: httpx.AsyncClient, store: Store) -> None:
    token, said = await mint(approver)
    await approver.delete(f"{WS}/{said['id']}")
    async with unchanged(store):
        answer = await approver.post(f"{WS}/import", json={"token": token})
        refused(answer, 403, "capability_revoked")
        refused(await approver.delete(f"{WS}/{said['id']}"), 403, "capability_revoked")
        refused(await approver.delete(f"{WS}/cap_nobody"), 404, "capability_not_found")
    shown = await inspect(approver, id=said["id"])
    assert (shown["state"], shown["capability"]["id"]) == ("revoked", said["id"])
    assert (await approver.get(WS)).json() == [shown]
    assert (await audited(store))[-1]["action"] == "capability.revoke"


async def test_a_used_one_stays_so(approver: httpx.AsyncClient, store: Store) -> None:
    token, said = await mint(approver, single_use=True)
    part = (await derive(approver, token)).json()["token"]
    keys = store.workspace("acme")
    await store.redis.call("HSET", keys.used, said["id"], "trn_1/1/c1")
    for each in (token, part):
        found = await inspect(approver, token=each)
        assert (found["state"], found["code"]) == ("used", "capability_used")
        assert "trn_1/1/c1" in found["why"]
    await store.redis.call("HDEL", keys.capabilities, said["id"])
    async with unchanged(store):
        answer = await approver.post(f"{WS}/import", json={"token": token})
    refused(answer, 403, "capability_used")


async def test_one_that_got_lost_is_brought_back(
    approver: httpx.AsyncClient, backend: httpx.AsyncClient, store: Store
) -> None:
    token, said = await mint(approver, starts_in_s=60)
    wish = {"token": token}
    refused(await approver.post(f"{WS}/import", json=wish), 409, "capability_exists")
    await store.redis.call("DEL", store.workspace("acme").capabilities)
    refused(await backend.post(f"{WS}/import", json=wish), 403, "approver_only")
    answer = await approver.post(f"{WS}/import", json=wish)
    assert (answer.status_code, answer.json()["state"]) == (200, "not_yet")
    assert answer.json()["capability"] == said
    assert (await audited(store))[-1]["action"] == "capability.import"


async def test_an_inspection_is_of_one_thing(approver: httpx.AsyncClient) -> None:
    for wish in ({}, {"token": "a", "id": "b"}):
        refused(await approver.post(f"{WS}/inspect", json=wish), 422, "invalid_input", "token")
    answer = await approver.post(f"{WS}/inspect", json={"id": "cap_nobody"})
    refused(answer, 404, "capability_not_found")


# -- by whom


async def test_only_approvers_give_out_and_end(
    approver: httpx.AsyncClient, backend: httpx.AsyncClient, store: Store
) -> None:
    token, said = await mint(approver)
    async with unchanged(store):
        refused(await backend.post(WS, json=RIGHT), 403, "approver_only")
        refused(await backend.delete(f"{WS}/{said['id']}"), 403, "approver_only")
        answer = await backend.post(f"{WS}/import", json={"token": token})
        refused(answer, 403, "approver_only")
    assert len((await backend.get(WS)).json()) == 1


async def test_another_workspace_has_nothing_of_it(
    live: Running, admin: httpx.AsyncClient, approver: httpx.AsyncClient, store: Store
) -> None:
    token, said = await mint(approver)
    await admin.post("/v1/workspaces", json={"id": "beta"})
    beta = "/v1/workspaces/beta/capabilities"
    async with unchanged(store):
        for client, status, code in ((approver, 404, "workspace_not_found"), (admin, 403, None)):
            answer = await client.post(f"{beta}/derive", json={"token": token})
            refused(answer, status, code or "capability_foreign", "token" if not code else "")
        refused(await admin.delete(f"{beta}/{said['id']}"), 404, "capability_not_found")
        answer = await admin.post(f"{beta}/inspect", json={"id": said["id"]})
        refused(answer, 404, "capability_not_found")
        answer = await admin.post(f"{beta}/import", json={"token": token})
        refused(answer, 403, "capability_foreign", "token")
    assert (await admin.get(beta)).json() == []


async def test_of_many_who_revoke_one_does(approver: httpx.AsyncClient, store: Store) -> None:
    _, said = await mint(approver)
    answers = await asyncio.gather(*(approver.delete(f"{WS}/{said['id']}") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [204] + [403] * 7
    assert len([e for e in await audited(store) if e["action"] == "capability.revoke"]) == 1
