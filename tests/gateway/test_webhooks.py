"""Webhooks over HTTP, and a question that reaches an endpoint through a whole gateway."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from bursar.registry import Registry
from bursar.settings import GatewaySettings
from bursar.store.store import Store
from support.gateway import Running, begin_turn, events, kinds, running, take, wait_until
from support.questions import put_question
from support.receiver import Receiver, Reply

MANY = "/v1/workspaces/acme/webhooks"
URL = "https://example.org/hook"


@pytest.fixture
def gateway_settings(gateway_settings: GatewaySettings) -> GatewaySettings:
    """With these a receiver of the test can be reached."""
    changed = {
        "webhook_http": True,
        "webhook_allow_nets": GatewaySettings(
            webhook_allow_nets="127.0.0.0/8"  # type: ignore[arg-type]
        ).webhook_allow_nets,
        "webhook_retry_s": 0.02,
        "max_webhooks": 3,
    }
    return gateway_settings.model_copy(update=changed)


@pytest.fixture
async def hook(admin: httpx.AsyncClient, sid: str) -> dict[str, Any]:
    made = await admin.post(MANY, json={"url": URL, "description": "ops"})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def test_an_endpoint_is_made_seen_changed_and_removed(
    admin: httpx.AsyncClient, hook: dict[str, Any]
) -> None:
    view = hook["webhook"]
    assert hook["secret"].startswith("whsec_")
    assert (view["url"], view["description"], view["paused"]) == (URL, "ops", False)
    assert view["events"] == ["approval.requested", "approval.deferred"]
    assert view["created_by"] == "key:environment"
    one = f"{MANY}/{view['id']}"
    assert (await admin.get(MANY)).json() == [(await admin.get(one)).json()] == [view]
    patch = {"paused": True, "events": ["approval.resolved", "approval.resolved"]}
    changed = (await admin.patch(one, json=patch)).json()
    assert (changed["paused"], changed["paused_by"]) == (True, "person")
    assert (changed["events"], changed["url"]) == (["approval.resolved"], URL)
    assert (await admin.delete(one)).status_code == 204
    assert (await admin.get(MANY)).json() == []
    for request in (admin.get(one), admin.delete(one), admin.patch(one, json={})):
        gone = await request
        assert (gone.status_code, gone.json()["code"]) == (404, "webhook_not_found")


async def test_the_secret_is_shown_once_and_when_it_is_renewed(
    admin: httpx.AsyncClient, hook: dict[str, Any]
) -> None:
    one = f"{MANY}/{hook['webhook']['id']}"
    rotated = (await admin.post(f"{one}/rotate")).json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != hook["secret"]
    assert rotated["webhook"]["old_secret_until_ms"] > hook["webhook"]["created_ms"] + 86_000_000
    shown = (await admin.get(one)).text + (await admin.get(MANY)).text
    shown += (await admin.get(f"{one}/deliveries")).text
    for secret in (hook["secret"], rotated["secret"]):
        assert secret not in shown


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "ftp://example.org"}, "url"),
        ({"url": "https://a:b@example.org/"}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["approval.requested", "turn.failed"]}, "events[1]"),
        ({"url": URL, "events": ["webhook.test"]}, "events[0]"),
        ({"url": URL, "description": "a\nb"}, "description"),
        ({"url": URL, "description": "x" * 257}, "description"),
        ({"url": URL, "secret": "mine"}, "secret"),
        ({"url": 5}, "url"),
        ({}, "url"),
    ],
)
async def test_what_is_wrong_is_named_and_changes_nothing(
    admin: httpx.AsyncClient, sid: str, body: dict[str, Any], field: str
) -> None:
    answer = await admin.post(MANY, json=body)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem.get("field") == field or field in problem["detail"], problem
    assert (await admin.get(MANY)).json() == []


async def test_a_change_to_what_is_not_allowed_is_refused(
    admin: httpx.AsyncClient, hook: dict[str, Any]
) -> None:
    one = f"{MANY}/{hook['webhook']['id']}"
    bodies: list[dict[str, Any]] = [
        {"url": "https://10.0.0.1/"}, {"events": []}, {"paused": "yes"}, {"id": "x"},
    ]  # fmt: skip
    for body in bodies:
        assert (await admin.patch(one, json=body)).status_code == 422
    assert (await admin.get(one)).json() == hook["webhook"]


async def test_a_workspace_has_so_many(admin: httpx.AsyncClient, hook: dict[str, Any]) -> None:
    for _ in range(2):
        assert (await admin.post(MANY, json={"url": URL})).status_code == 201
    refused = await admin.post(MANY, json={"url": URL})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_webhooks")


async def test_only_administrators_see_and_make_them(
    live: Running, admin: httpx.AsyncClient, hook: dict[str, Any]
) -> None:
    body = {"name": "a", "workspaces": ["acme"], "approver": True}
    made = (await admin.post("/v1/keys", json=body)).json()
    one = f"{MANY}/{hook['webhook']['id']}"
    async with live.client(made["token"]) as approver:
        for method, path in (
            ("GET", MANY), ("POST", MANY), ("GET", one), ("PATCH", one), ("DELETE", one),
            ("POST", f"{one}/rotate"), ("POST", f"{one}/test"), ("GET", f"{one}/deliveries"),
            ("POST", f"{one}/deliveries/msg_1/retry"),
        ):  # fmt: skip
            answer = await approver.request(method, path, json={"url": URL})
            assert (answer.status_code, answer.json()["code"]) == (403, "admin_only"), path


async def test_what_is_not_there_is_not_found(
    admin: httpx.AsyncClient, hook: dict[str, Any]
) -> None:
    nowhere = await admin.post("/v1/workspaces/nowhere/webhooks", json={"url": URL})
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "workspace_not_found")
    assert (await admin.get("/v1/workspaces/nowhere/webhooks")).status_code == 404
    for path in ("/rotate", "/test", "/deliveries/msg_1/retry"):
        answer = await admin.post(f"{MANY}/whk_none{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "webhook_not_found")
    assert (await admin.get(f"{MANY}/whk_none/deliveries")).status_code == 404
    again = await admin.post(f"{MANY}/{hook['webhook']['id']}/deliveries/msg_1/retry")
    assert (again.status_code, again.json()["code"]) == (404, "delivery_not_found")


async def test_a_paused_endpoint_is_not_tested(
    admin: httpx.AsyncClient, hook: dict[str, Any]
) -> None:
    one = f"{MANY}/{hook['webhook']['id']}"
    await admin.patch(one, json={"paused": True})
    answer = await admin.post(f"{one}/test")
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_paused")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


async def test_a_question_reaches_its_endpoint(
    admin: httpx.AsyncClient, store: Store, base: str, sid: str, receiver: Receiver
) -> None:
    """From the script that asks to the signed message, and from the answer likewise."""
    kinds_wanted = ["approval.requested", "approval.resolved"]
    made = (await admin.post(MANY, json={"url": receiver.url, "events": kinds_wanted})).json()
    await admin.post(f"{base}/turns", json={"input": "hi"})
    turn = await begin_turn(store, "acme", sid)
    asked = await put_question(store, turn.lease, turn.turn)
    question = f"/v1/workspaces/acme/approvals/{asked.id}"
    sha = (await admin.get(question)).json()["arguments_sha256"]
    await admin.post(question, json={"decision": "deny", "arguments_sha256": sha})
    await wait_until(lambda: len(receiver.seen) == 2, "both came")
    first, second = sorted(receiver.seen, key=lambda each: each.json()["data"]["seq"])
    for each in (first, second):
        each.verify(made["secret"])
        assert each.json()["data"]["approval"] == asked.id
        assert each.json()["data"]["session"] == sid
    assert first.json()["type"] == "approval.requested"
    assert (second.json()["type"], second.json()["data"]["decision"]) == (
        "approval.resolved",
        "deny",
    )


async def test_a_workspace_without_endpoints_writes_no_outbox(
    admin: httpx.AsyncClient, store: Store, base: str, sid: str
) -> None:
    await admin.post(f"{base}/turns", json={"input": "hi"})
    turn = await begin_turn(store, "acme", sid)
    await put_question(store, turn.lease, turn.turn)
    assert not await store.redis.call("EXISTS", store.workspace("acme").shard.outbox)


async def test_a_test_shows_how_the_endpoint_answered(
    admin: httpx.AsyncClient, sid: str, receiver: Receiver
) -> None:
    receiver.answer = lambda _: Reply(418, body=b"I am a teapot")
    made = (await admin.post(MANY, json={"url": receiver.url})).json()
    one = f"{MANY}/{made['webhook']['id']}"
    sent = await admin.post(f"{one}/test")
    assert sent.status_code == 202

    async def shown() -> bool:
        return bool((await admin.get(f"{one}/deliveries")).json()["attempts"])

    await wait_until(shown, "it was tried")
    told = await admin.get(f"{one}/deliveries")
    (attempt,) = told.json()["attempts"]
    assert attempt["message"] == sent.json()["message"]
    assert (attempt["status"], attempt["error"]) == (418, "status_418")
    assert "teapot" not in told.text


async def test_a_message_that_was_given_up_shows_in_the_feed_and_is_tried_again(
    store: Store, registry: Registry, gateway_settings: GatewaySettings, receiver: Receiver
) -> None:
    receiver.answer = lambda _: Reply(500)
    short = gateway_settings.model_copy(update={"webhook_give_up_s": 0.001})
    async with running(short) as live, live.client() as client:
        await client.post("/v1/workspaces", json={"id": "acme"})
        base = "/v1/workspaces/acme/sessions/s"
        await client.post("/v1/workspaces/acme/sessions", json={"agent": "echo", "id": "s"})
        made = (await client.post(MANY, json={"url": receiver.url})).json()
        one = f"{MANY}/{made['webhook']['id']}"
        async with events(client, "/v1/workspaces/acme/approvals/events") as source:
            await client.post(f"{base}/turns", json={"input": "hi"})
            turn = await begin_turn(store, "acme", "s")
            await put_question(store, turn.lease, turn.turn)
            sent = await take(source, 2)
        assert kinds(sent) == ["approval.requested", "webhook.failed"]
        failed = sent[1].json()
        assert (failed["webhook"], failed["why"]) == (made["webhook"]["id"], "status_500")
        (dead,) = (await client.get(f"{one}/deliveries")).json()["dead"]
        assert (dead["message"], dead["error"]) == (failed["message"], "status_500")
        receiver.answer = lambda _: Reply()
        again = await client.post(f"{one}/deliveries/{dead['message']}/retry")
        assert again.status_code == 204

        async def delivered() -> bool:
            return (await client.get(one)).json()["delivered"] == 1  # type: ignore[no-any-return]

        await wait_until(delivered, "it was taken")


async def test_changes_are_in_the_audit_log(admin: httpx.AsyncClient, hook: dict[str, Any]) -> None:
    one = f"{MANY}/{hook['webhook']['id']}"
    await admin.patch(one, json={"description": "other"})
    await admin.post(f"{one}/rotate")
    await admin.delete(one)
    entries = (await admin.get("/v1/workspaces/acme/audit")).json()["entries"]
    found = [entry for entry in entries if entry["action"].startswith("webhook.")]
    assert {entry["action"] for entry in found} == {
        "webhook.create", "webhook.change", "webhook.rotate", "webhook.remove",
    }  # fmt: skip
    assert {entry["actor"] for entry in found} == {"key:environment"}
    assert hook["secret"] not in str(entries)
    assert "example.org" in str(entries)
    assert "/hook" not in str(entries), "a path is often a secret"
