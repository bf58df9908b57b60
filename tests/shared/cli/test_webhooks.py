"""``bursar webhooks``: secrets shown once, tests awaited, tries and dead messages read."""

import json
from typing import Any

import pytest

from support.command import Bursar
from support.stub_gateway import StubGateway, problem

MANY = "/v1/workspaces/default/webhooks"
ONE = f"{MANY}/whk_1"
SECRET = "whsec_c2VjcmV0"


def webhook(**members: Any) -> dict[str, Any]:
    events = ["approval.requested", "approval.deferred"]
    return {"id": "whk_1", "url": "https://example.org/hook", "events": events, **members}


def attempt(message: str = "msg_1", **members: Any) -> dict[str, Any]:
    event = {"event": "webhook.test", "number": 1, "at_ms": 5, "took_ms": 12}
    return {"message": message, **event, "status": 204, "error": "", **members}


def deliveries(*attempts: dict[str, Any], dead: list[Any] | None = None) -> dict[str, Any]:
    return {"pending": 0, "attempts": list(attempts), "dead": dead or []}


def test_a_webhook_is_made_and_its_secret_is_shown(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {MANY}", {"webhook": webhook(), "secret": SECRET})
    ran = bursar(
        "webhooks", "add", "https://example.org/hook", "--event", "approval.requested",
        "--event", "approval.resolved", "--description", "ops",
    )  # fmt: skip
    assert ran.status == 0
    assert ran.out.splitlines()[-1] == SECRET
    assert "not shown again" in ran.err
    assert stub.seen[0].body == {
        "url": "https://example.org/hook",
        "events": ["approval.requested", "approval.resolved"],
        "description": "ops",
    }
    made = json.loads(bursar("webhooks", "add", "https://example.org/hook", "--json").out)
    assert made["secret"] == SECRET
    assert stub.seen[1].body == {"url": "https://example.org/hook"}


def test_webhooks_are_listed_with_how_they_answer(bursar: Bursar, stub: StubGateway) -> None:
    far = 10**14
    stub.on(f"GET {MANY}", [
        webhook(delivered=7, pending=1, dead=2),
        webhook(id="whk_2", paused=True, paused_by="gone"),
        webhook(id="whk_3", paused=True, paused_by="person"),
        webhook(id="whk_4", failures=9, rests_until_ms=far, last_failure="status_500"),
        webhook(id="whk_5", failures=2),
    ])  # fmt: skip
    ran = bursar("webhooks", "list")
    lines = ran.out.splitlines()
    assert [part in lines[1] for part in ("whk_1", "requested, deferred", "ok", "7")] == [True] * 4
    assert "paused: wants no more" in lines[2]
    assert "paused" in lines[3]
    assert "status_500, again in" in lines[4]
    assert "2 failed" in lines[5]
    assert len(json.loads(bursar("webhooks", "list", "--json").out)) == 5


def test_none_is_said(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {MANY}", [])
    assert "no webhooks" in bursar("webhooks", "list").out


@pytest.mark.parametrize(
    ("argv", "body"),
    [
        (["--pause"], {"paused": True}),
        (["--resume"], {"paused": False}),
        (["--url", "https://x.org"], {"url": "https://x.org"}),
        (["--event", "approval.resolved"], {"events": ["approval.resolved"]}),
    ],
)
def test_what_is_given_is_changed(
    bursar: Bursar, stub: StubGateway, argv: list[str], body: dict[str, Any]
) -> None:
    stub.on(f"PATCH {ONE}", webhook())
    ran = bursar("webhooks", "update", "whk_1", *argv)
    assert (ran.status, "whk_1" in ran.out) == (0, True)
    assert stub.seen[0].body == body


def test_a_webhook_is_removed_and_its_secret_renewed(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"DELETE {ONE}", {})
    stub.on(f"POST {ONE}/rotate", {"webhook": webhook(), "secret": SECRET})
    assert "whk_1 is removed" in bursar("webhooks", "remove", "whk_1").out
    assert bursar("webhooks", "rotate", "whk_1").out.splitlines()[-1] == SECRET


def test_a_test_waits_for_its_answer(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {ONE}/test", {"message": "msg_9"})
    stub.on(f"GET {ONE}/deliveries", deliveries(attempt()), deliveries(attempt("msg_9")))
    ran = bursar("webhooks", "test", "whk_1")
    assert ran.status == 0
    assert "it took the message (204, 12 ms)" in ran.out
    assert len(stub.asked(f"GET {ONE}/deliveries")) == 2


def test_a_test_that_fails_says_how(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {ONE}/test", {"message": "msg_9"})
    failed = attempt("msg_9", status=500, error="status_500")
    stub.on(f"GET {ONE}/deliveries", deliveries(failed))
    ran = bursar("webhooks", "test", "whk_1", "--json")
    assert (ran.status, json.loads(ran.out)["error"]) == (1, "status_500")
    assert "did not take the message: status_500" in ran.err


def test_a_test_that_nobody_sends_is_given_up(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursar.cli.webhooks._PATIENCE_S", 0.01)
    stub.on(f"POST {ONE}/test", {"message": "msg_9"})
    stub.on(f"GET {ONE}/deliveries", deliveries())
    ran = bursar("webhooks", "test", "whk_1")
    assert (ran.status, "no gateway has sent it" in ran.err) == (1, True)


def test_tries_and_dead_messages_are_shown(bursar: Bursar, stub: StubGateway) -> None:
    dead = {"message": "msg_0", "event": "approval.requested", "at_ms": 5, "tries": 20}
    stub.on(
        f"GET {ONE}/deliveries",
        deliveries(attempt(error="timeout", status=0), dead=[{**dead, "error": "status_503"}]),
        deliveries(),
    )
    ran = bursar("webhooks", "deliveries", "whk_1")
    for part in ("msg_1", "timeout", "12 ms", "given up", "msg_0", "20", "status_503"):
        assert part in ran.out
    assert "nothing was sent" in bursar("webhooks", "deliveries", "whk_1").out


def test_a_dead_message_is_tried_again(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {ONE}/deliveries/msg_0/retry", {})
    assert "msg_0 is sent again" in bursar("webhooks", "retry", "whk_1", "msg_0").out
    stub.replace(
        f"POST {ONE}/deliveries/msg_0/retry", problem(409, "webhook_paused", "it is paused")
    )
    ran = bursar("webhooks", "retry", "whk_1", "msg_0")
    assert (ran.status, "it is paused" in ran.err) == (2, True)
