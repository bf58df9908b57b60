"""The audit log over HTTP: listed, exported, verified from outside, trimmed; and by whom."""

from collections.abc import Iterable

import httpx
import msgspec
import pytest

from bursar.audit.chain import INSTALLATION
from bursar.audit.keyring import KeyRing
from bursar.audit.verdicts import Verdict
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.audit import AuditLog
from bursar.store.store import Store
from support.audit_book import verified
from support.gateway import Running, play_turn

AUDIT = "/v1/workspaces/acme/audit"


async def actions(client: httpx.AsyncClient, path: str = AUDIT, **params: object) -> list[str]:
    answer = await client.get(path, params={"after": 0, **params})  # type: ignore[dict-item]
    assert answer.status_code == 200, answer.text
    return [entry["action"] for entry in answer.json()["entries"]]


async def ring(client: httpx.AsyncClient) -> KeyRing:
    return KeyRing.read((await client.get("/v1/signing-keys")).content)


async def verify(
    client: httpx.AsyncClient, path: str = AUDIT, heads: dict[int, str] | None = None
) -> Verdict:
    """What a client can find out, with nothing but what the API gives."""
    answer = await client.get(f"{path}/export", params={"unsealed": True})
    assert answer.status_code == 200, answer.text
    return verified(answer.content.splitlines(), await ring(client), heads)


async def test_everything_that_people_do_is_in_the_log_with_who_did_it(
    live: Running, admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    made = await admin.post("/v1/keys", json={"name": "acme", "workspaces": ["acme"]})
    actor = f"key:{made.json()['key']['id']}"
    async with live.client(made.json()["token"]) as tenant:
        await tenant.post(f"{base}/turns", json={"input": "one"})
        turn = (await tenant.post(f"{base}/turns", json={"input": "two"})).json()["turn"]
        await tenant.post(f"/v1/workspaces/acme/turns/{turn}/cancel", json={"reason": "no"})
        await tenant.patch(f"{base}/budget", json={"limit_microusd": 5_000_000})
        await tenant.post(f"{base}/budget/reset")
        await tenant.put(f"{base}/budget/period", json={"period": "day"})
        await tenant.post("/v1/workspaces/acme/budget/deny", json={"account": f"s:{sid}"})
        await play_turn(store, "acme", sid)
        await tenant.post(f"{base}/end")
        await tenant.delete(base)
        entries = (await tenant.get(AUDIT, params={"after": 2})).json()["entries"]
    told = [(entry["actor"], entry["action"], entry.get("outcome", "")) for entry in entries]
    assert [one for one in told if one[0] == actor] == [
        (actor, "turn.cancel", ""),
        (actor, "budget.limit", ""),
        (actor, "budget.reset", ""),
        (actor, "budget.period", ""),
        (actor, "budget.deny", ""),
        (actor, "session.end", "ended"),
        (actor, "session.delete", ""),
    ]
    assert (await verify(admin)).ok


async def test_what_administrators_do_to_a_workspace_is_in_its_log(
    admin: httpx.AsyncClient, sid: str
) -> None:
    del sid
    await admin.patch("/v1/workspaces/acme", json={"paused": True})
    await admin.post("/v1/workspaces/acme/kill", json={"reason": "runaway"})
    await admin.post("/v1/workspaces/acme/revive")
    await admin.patch("/v1/workspaces/acme/budget", json={"limit_microusd": 7_000_000})
    assert await actions(admin) == [
        "workspace.create", "session.create", "workspace.change", "workspace.kill",
        "workspace.revive", "budget.limit",
    ]  # fmt: skip
    newest = (await admin.get(AUDIT, params={"limit": 1})).json()
    assert newest["entries"][0]["actor"] == "key:environment"
    assert newest["entries"][0]["details"]["limit"] == "7000000"
    assert (newest["seen_seq"], newest["more"]) == (6, True)


async def test_the_log_is_listed_by_what_it_is_about(
    admin: httpx.AsyncClient, sid: str, base: str
) -> None:
    await admin.patch(f"{base}/budget", json={"limit_microusd": 5_000_000})
    assert await actions(admin, session=sid) == ["session.create", "budget.limit"]
    assert await actions(admin, action="session.*") == ["session.create"]
    assert await actions(admin, decision="deny") == []
    assert await actions(admin, limit=1) == ["workspace.create"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"after": -1}, "after"),
        ({"before": "x"}, "before"),
        ({"after": 1, "before": 2}, "before"),
        ({"decision": "maybe"}, "decision"),
    ],
)
async def test_wrong_questions_name_what_is_wrong(
    admin: httpx.AsyncClient, sid: str, params: dict[str, str], field: str
) -> None:
    del sid
    answer = await admin.get(AUDIT, params=params)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_a_client_finds_a_change_from_what_the_gateway_shows_alone(
    admin: httpx.AsyncClient, live: Running, store: Store, sid: str, base: str
) -> None:
    del sid
    await admin.patch(f"{base}/budget", json={"limit_microusd": 5_000_000})
    log = AuditLog.of(store, "acme")
    await live.gateway.sealer.seal(log)
    before = await verify(admin)
    assert before.ok
    entries = await store.redis.call("XRANGE", log.entries, "-", "+")
    await store.redis.call("DEL", log.entries)
    for entry, fields in entries:
        body = fields[b"d"].replace(b"5000000", b"9000000")
        await store.redis.call("XADD", log.entries, entry, "d", body)
    verdict = await verify(admin)
    assert (verdict.ok, verdict.wrong_seq) == (False, 3)


async def test_the_head_and_the_seals_are_shown(
    admin: httpx.AsyncClient, live: Running, store: Store, sid: str
) -> None:
    del sid
    await live.gateway.sealer.seal(AuditLog.of(store, "acme"))
    head = (await admin.get(f"{AUDIT}/head")).json()
    seals = (await admin.get(f"{AUDIT}/seals")).json()
    assert (head["audit_seq"], head["sealed_seq"], head["published_seq"]) == (2, 2, 2)
    assert head["published"] == seals[-1]
    assert seals[-1]["to_seq"] == 2
    assert (await admin.get(f"{AUDIT}/seals", params={"after": 2})).json() == []


async def test_an_export_seals_first_and_may_be_trimmed_after(
    admin: httpx.AsyncClient, sid: str, base: str
) -> None:
    del sid
    answer = await admin.get(f"{AUDIT}/export")
    assert answer.headers["content-type"].startswith("application/jsonl")
    assert 'filename="audit-acme.jsonl"' in answer.headers["content-disposition"]
    exported = verified(answer.content.splitlines(), await ring(admin))
    assert (exported.ok, exported.sealed_seq, exported.last_seq) == (True, 2, 2)

    wish = {"to_seq": 2, "head": exported.head}
    wrong = await admin.post(f"{AUDIT}/trim", json={**wish, "head": "0" * 64})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "other_head")
    trimmed = (await admin.post(f"{AUDIT}/trim", json=wish)).json()
    assert trimmed == {"entries": 2, "trimmed_seq": 2, "more": False}
    await admin.patch(f"{base}/budget", json={"limit_microusd": 5_000_000})
    assert await actions(admin) == ["audit.trim", "budget.limit"]
    verdict = await verify(admin, heads={2: exported.head})
    assert (verdict.ok, verdict.first_seq) == (True, 3), verdict.findings


async def test_what_was_not_exported_is_not_trimmed(
    admin: httpx.AsyncClient, live: Running, store: Store, sid: str
) -> None:
    del sid
    await live.gateway.sealer.seal(AuditLog.of(store, "acme"))
    head = (await admin.get(f"{AUDIT}/head")).json()["published"]["head"]
    answer = await admin.post(f"{AUDIT}/trim", json={"to_seq": 2, "head": head})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_exported")


async def test_reading_is_for_the_keys_of_a_workspace_and_trimming_for_administrators(
    live: Running, admin: httpx.AsyncClient, sid: str
) -> None:
    del sid
    made = await admin.post("/v1/keys", json={"name": "acme", "workspaces": ["acme"]})
    async with live.client(made.json()["token"]) as tenant:
        for path in ("", "/head", "/seals", "/export"):
            assert (await tenant.get(AUDIT + path)).status_code == 200, path
            theirs = await tenant.get(f"/v1/workspaces/beta/audit{path}")
            assert (theirs.status_code, theirs.json()["code"]) == (404, "workspace_not_found")
            ours = await tenant.get(f"/v1/audit{path}")
            assert (ours.status_code, ours.json()["code"]) == (403, "admin_only")
        bodies = {"trim": {"to_seq": 1, "head": "x"}, "accept": {"reason": "x"}}
        for word, body in bodies.items():
            for place in (AUDIT, "/v1/audit"):
                refused = await tenant.post(f"{place}/{word}", json=body)
                assert (refused.status_code, refused.json()["code"]) == (403, "admin_only")


async def test_the_installations_log_is_read_verified_and_trimmed_likewise(
    admin: httpx.AsyncClient, live: Running
) -> None:
    async with live.client("bk_wrong_wrong") as stranger:
        await stranger.get("/v1/workspaces")
    await live.gateway.refusals.flush()
    assert "login.refused" in await actions(admin, "/v1/audit")
    assert (await verify(admin, "/v1/audit")).ok
    exported = await admin.get("/v1/audit/export")
    assert 'filename="audit-installation.jsonl"' in exported.headers["content-disposition"]
    verdict = verified(exported.content.splitlines(), await ring(admin))
    wish = {"to_seq": verdict.sealed_seq, "head": verdict.head}
    assert (await admin.post("/v1/audit/trim", json=wish)).status_code == 200
    assert await actions(admin, "/v1/audit") == ["audit.trim"]
    assert (await admin.get("/v1/audit/head")).json()["workspace"] == INSTALLATION
    assert (await admin.get("/v1/audit/seals")).json()[0]["to_seq"] == verdict.sealed_seq


async def test_keys_that_are_made_and_revoked_are_on_record_without_their_secrets(
    admin: httpx.AsyncClient,
) -> None:
    wish = {"name": "ops", "workspaces": ["acme"], "approver": True}
    made = (await admin.post("/v1/keys", json=wish)).json()
    key = made["key"]["id"]
    await admin.delete(f"/v1/keys/{key}")
    assert (await admin.delete(f"/v1/keys/{key}")).status_code == 404
    page = await admin.get("/v1/audit", params={"after": 0, "action": "key.*"})
    created, revoked = page.json()["entries"]
    assert (created["actor"], created["action"]) == ("key:environment", "key.create")
    assert created["details"] == {"key": key, "admin": False, **wish}
    assert (revoked["actor"], revoked["action"]) == ("key:environment", "key.revoke")
    assert revoked["details"] == {"key": key}
    assert made["token"].split("_")[2] not in page.text


async def test_a_loss_of_data_is_accepted_by_an_administrator_with_a_reason(
    admin: httpx.AsyncClient, live: Running, store: Store, sid: str, base: str
) -> None:
    del sid
    log = AuditLog.of(store, "acme")
    await live.gateway.sealer.seal(log)
    agrees = await admin.post(f"{AUDIT}/accept", json={"reason": "no loss"})
    assert (agrees.status_code, agrees.json()["code"]) == (409, "audit_agrees")
    kept = await store.redis.call("HGET", GlobalKeys.audit_heads, "acme")
    await admin.patch(f"{base}/budget", json={"limit_microusd": 5_000_000})
    await live.gateway.sealer.seal(log)
    later = await store.redis.call("HGET", GlobalKeys.audit_heads, "acme")
    # As after a failover that lost the workspace's newest writes, but not the published head.
    await store.redis.call("XDEL", log.entries, "3-0")
    await store.redis.call("XDEL", log.seals, "3-0")
    await store.redis.call("HSET", log.counter, "audit_seq", 2, "sealed_seq", 2)
    assert not (await verify(admin)).ok
    bad = await admin.post(f"{AUDIT}/accept", json={"reason": ""})
    assert (bad.status_code, bad.json()["field"]) == (422, "reason")
    accepted = (await admin.post(f"{AUDIT}/accept", json={"reason": "failover"})).json()
    assert accepted["published_head"] == msgspec.json.decode(later)["head"]
    assert accepted["head"] == msgspec.json.decode(kept)["head"]
    assert (await verify(admin)).ok
    entry = (await admin.get("/v1/audit", params={"limit": 1})).json()["entries"][0]
    assert (entry["actor"], entry["action"], entry["reason"]) == (
        "key:environment", "audit.accept", "failover",
    )  # fmt: skip
    await restore_stream_id(store, log)


async def restore_stream_id(store: Store, log: AuditLog) -> None:
    """A deleted entry keeps its number used up, unlike after a failover."""
    for key in (log.entries, log.seals):
        rows = await store.redis.call("XRANGE", key, "-", "+")
        await store.redis.call("DEL", key)
        for entry, fields in rows:
            flat: Iterable[bytes] = [part for pair in fields.items() for part in pair]
            await store.redis.call("XADD", key, entry, *flat)


async def test_a_log_that_is_no_log_is_a_problem_with_a_name(
    admin: httpx.AsyncClient, store: Store, sid: str
) -> None:
    del sid
    key = AuditLog.of(store, "acme").entries
    await store.redis.call("DEL", key)
    await store.redis.call("SET", key, "x")
    for path in (AUDIT, f"{AUDIT}/export"):
        answer = await admin.get(path)
        assert (answer.status_code, answer.json()["code"]) == (409, "audit_unreadable")
    await store.redis.call("DEL", key)
    await store.redis.call("HSET", AuditLog.of(store, "acme").counter, "audit_seq", 0)
