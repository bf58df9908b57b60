"""Questions and their answers over HTTP, and what people allow beyond single calls."""

from typing import Any

import httpx
import pytest

from bursar.store.codec import text
from bursar.store.store import Store
from support.gateway import PlayedTurn, Running, begin_turn
from support.questions import put_question

MANY = "/v1/workspaces/acme/approvals"
ALLOWANCES = "/v1/workspaces/acme/allowances"


@pytest.fixture
async def turn(store: Store, admin: httpx.AsyncClient, base: str, sid: str) -> PlayedTurn:
    await admin.post(f"{base}/turns", json={"input": "hi"})
    return await begin_turn(store, "acme", sid)


@pytest.fixture
async def question(store: Store, admin: httpx.AsyncClient, turn: PlayedTurn) -> dict[str, Any]:
    asked = await put_question(store, turn.lease, turn.turn)
    found: dict[str, Any] = (await admin.get(f"{MANY}/{asked.id}")).json()
    return found


def answer(question: dict[str, Any], decision: str = "approve", **parts: Any) -> dict[str, Any]:
    return {"decision": decision, "arguments_sha256": question["arguments_sha256"]} | parts


async def test_open_questions_are_listed_for_workspace_tree_and_session(
    admin: httpx.AsyncClient, base: str, sid: str, question: dict[str, Any]
) -> None:
    assert question["arguments"] == '{"to":"bob"}'
    for path in (MANY, f"{MANY}?root={sid}", f"{MANY}?session={sid}", f"{base}/approvals"):
        assert [each["id"] for each in (await admin.get(path)).json()] == [question["id"]], path
    assert (await admin.get(f"{MANY}?root=ses_other")).json() == []
    assert (await admin.get(f"{MANY}?root=a/b")).json()["field"] == "root"
    assert (await admin.get("/v1/workspaces/acme/sessions/nope/approvals")).status_code == 404


async def test_the_most_urgent_question_comes_first(
    store: Store, admin: httpx.AsyncClient, turn: PlayedTurn
) -> None:
    low = await put_question(store, turn.lease, turn.turn, call="c1", priority="low")
    high = await put_question(
        store, turn.lease, turn.turn, call="c2", priority="critical", arguments='{"to": "eve"}'
    )
    assert [each["id"] for each in (await admin.get(MANY)).json()] == [high.id, low.id]


async def test_exactly_one_answer_counts_and_others_learn_whose(
    admin: httpx.AsyncClient, question: dict[str, Any]
) -> None:
    path = f"{MANY}/{question['id']}"
    first = await admin.post(path, json=answer(question, "deny", reason="no"))
    assert (first.status_code, first.json()["state"]) == (200, "denied")
    assert first.json()["answered_by"] == "key:environment"
    again = await admin.post(path, json=answer(question))
    assert (again.status_code, again.json()["code"]) == (409, "already_answered")
    assert again.json()["answered_by"] == "key:environment"
    assert again.json()["decision"] == "deny"
    assert (await admin.get(path)).json()["state"] == "denied"
    assert (await admin.get(MANY)).json() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"decision": "perhaps"}, "decision"),
        ({"scope": "for ever"}, "scope"),
        ({"decision": "deny", "scope": "session"}, "scope"),
        ({"decision": "defer", "arguments": {}}, "arguments"),
        ({"scope": "session", "arguments": {"to": "eve"}}, "scope"),
        ({"scope": "session", "allowance": {"pattern": "send"}}, "scope"),
        ({"allowance": {"pattern": "other"}}, "allowance.pattern"),
        ({"allowance": {"pattern": "send", "max_uses": 0}}, "max_uses"),
        ({"reason": "x" * 201}, "reason"),
        ({"more": 1}, "more"),
    ],
    ids=str,
)
async def test_an_answer_that_cannot_be_meant_changes_nothing(
    admin: httpx.AsyncClient, question: dict[str, Any], body: dict[str, Any], field: str
) -> None:
    refused = await admin.post(f"{MANY}/{question['id']}", json=answer(question) | body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert (await admin.get(MANY)).json() == [question]


async def test_what_was_not_seen_cannot_be_approved(
    admin: httpx.AsyncClient, question: dict[str, Any]
) -> None:
    other = answer(question) | {"arguments_sha256": "0" * 64}
    refused = await admin.post(f"{MANY}/{question['id']}", json=other)
    assert (refused.status_code, refused.json()["code"]) == (409, "other_call")
    assert question["arguments_sha256"] in refused.json()["detail"]
    unknown = await admin.post(f"{MANY}/apr_none", json=answer(question))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "approval_not_found")
    assert (await admin.get(MANY)).json() == [question]


async def test_only_an_approver_answers(
    live: Running, admin: httpx.AsyncClient, question: dict[str, Any]
) -> None:
    tokens = {}
    for name, approver in (("app", False), ("ann", True)):
        body = {"name": name, "workspaces": ["acme"], "approver": approver}
        tokens[name] = (await admin.post("/v1/keys", json=body)).json()["token"]
    path = f"{MANY}/{question['id']}"
    async with live.client(tokens["app"]) as app, live.client(tokens["ann"]) as ann:
        assert len((await app.get(MANY)).json()) == 1
        refused = await app.post(path, json=answer(question))
        assert (refused.status_code, refused.json()["code"]) == (403, "approver_only")
        assert (await app.post(ALLOWANCES, json={"pattern": "send"})).status_code == 403
        assert (await ann.post(path, json=answer(question))).status_code == 200


async def test_an_answer_is_an_inbox_item_of_its_session(
    store: Store, admin: httpx.AsyncClient, turn: PlayedTurn, question: dict[str, Any]
) -> None:
    await admin.post(f"{MANY}/{question['id']}", json=answer(question))
    assert [item.kind for item in await turn.inbox()] == ["approval"]
    effect = await store.redis.call("HGET", turn.lease.session.effects, "call:c1")
    assert text(effect) == f"waiting {question['id']}"


async def test_a_person_who_cannot_decide_defers(
    admin: httpx.AsyncClient, question: dict[str, Any]
) -> None:
    path = f"{MANY}/{question['id']}"
    deferred = (await admin.post(path, json=answer(question, "defer"))).json()
    assert (deferred["state"], deferred["why"]) == ("deferred", "unavailable")
    again = await admin.post(path, json=answer(question, "defer"))
    assert again.status_code == 409
    assert (await admin.post(path, json=answer(question))).json()["state"] == "approved"


async def test_questions_of_a_session_that_ended_take_no_answers(
    admin: httpx.AsyncClient, base: str, turn: PlayedTurn, question: dict[str, Any]
) -> None:
    await admin.post(f"{base}/end", json={})
    await turn.finish()
    refused = await admin.post(f"{MANY}/{question['id']}", json=answer(question))
    assert (refused.status_code, refused.json()["code"]) == (409, "approval_closed")


async def test_allowances_are_made_listed_and_revoked(admin: httpx.AsyncClient, sid: str) -> None:
    body = {"pattern": "file+write://reports/**", "expires_in_s": 60, "max_uses": 3, "note": "x"}
    made = (await admin.post(ALLOWANCES, json=body)).json()
    assert (made["uses_left"], made["created_by"]) == (3, "key:environment")
    in_tree = await admin.post(
        ALLOWANCES, json={"pattern": "send", "scope": "tree", "session": sid}
    )
    assert in_tree.json()["root"] == sid
    assert [each["id"] for each in (await admin.get(ALLOWANCES)).json()] == [made["id"]]
    both = (await admin.get(f"{ALLOWANCES}?session={sid}")).json()
    assert {each["id"] for each in both} == {made["id"], in_tree.json()["id"]}
    assert (await admin.delete(f"{ALLOWANCES}/{made['id']}")).status_code == 204
    gone = await admin.delete(f"{ALLOWANCES}/{made['id']}")
    assert (gone.status_code, gone.json()["code"]) == (404, "allowance_not_found")
    revoked = await admin.post(f"{ALLOWANCES}/revoke", json={"scope": "tree", "session": sid})
    assert revoked.json() == {"revoked": 1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"pattern": "file://../x"}, "pattern"),
        ({"pattern": "a***"}, "pattern"),
        ({"pattern": "send", "scope": "once"}, "scope"),
        ({"pattern": "send", "scope": "session"}, "session"),
        ({"pattern": "send", "session": "ses_1"}, "session"),
        ({"pattern": "send", "max_uses": 0}, "max_uses"),
        ({"pattern": "send", "expires_in_s": 0}, "expires_in_s"),
        ({"pattern": "send", "paths": [{"path": "a/b"}]}, "paths[0]"),
        ({"pattern": "send", "note": "x" * 201}, "note"),
    ],
    ids=str,
)
async def test_an_allowance_that_cannot_be_meant_is_refused_by_its_field(
    admin: httpx.AsyncClient, sid: str, body: dict[str, Any], field: str
) -> None:
    refused = await admin.post(ALLOWANCES, json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert (await admin.get(f"{ALLOWANCES}?session={sid}")).json() == []


async def test_an_import_brings_nothing_back_that_ended(
    admin: httpx.AsyncClient, store: Store, sid: str
) -> None:
    del sid
    made = [
        (await admin.post(ALLOWANCES, json={"pattern": name, "max_uses": 2})).json()
        for name in ("kept", "revoked", "used")
    ]
    exported = (await admin.get(f"{ALLOWANCES}/export")).json()
    await admin.delete(f"{ALLOWANCES}/{made[1]['id']}")
    key = store.workspace("acme").allowances
    await store.redis.call("HDEL", key, made[2]["id"])
    await store.redis.call("HSET", key, f"{made[2]['id']}:left", 0)
    fresh = made[0] | {"id": "alw_fresh", "uses_left": 1}
    body = {"entries": [*exported, fresh]}
    taken = (await admin.post(f"{ALLOWANCES}/import", json=body)).json()
    assert taken == {"added": 1, "present": 1, "used_up": 2}
    left = {each["id"]: each["uses_left"] for each in (await admin.get(ALLOWANCES)).json()}
    assert left == {made[0]["id"]: 2, "alw_fresh": 1}
    wrong = {"entries": [fresh | {"id": "alw_2", "uses_left": 3}]}
    refused = await admin.post(f"{ALLOWANCES}/import", json=wrong)
    assert (refused.status_code, refused.json()["field"]) == (422, "entries[0].uses_left")
