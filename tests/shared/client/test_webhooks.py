"""Webhooks with both clients, and what does not show of a secret."""

from support.both_clients import Make, ask
from support.stub_gateway import StubGateway

MANY = "/v1/workspaces/acme/webhooks"


async def test_an_endpoint_is_made_and_its_secret_does_not_show_in_logs(
    stub: StubGateway, make: Make
) -> None:
    view = {"id": "whk_1", "url": "https://example.org"}
    stub.on(f"POST {MANY}", {"webhook": view, "secret": "whsec_x"})
    client = make(stub.url)
    made = await ask(client.create_webhook("https://example.org", events=["approval.resolved"]))
    assert (made.webhook.id, made.secret) == ("whk_1", "whsec_x")
    assert "whsec_x" not in repr(made)
    assert stub.seen[0].body == {"url": "https://example.org", "events": ["approval.resolved"]}


async def test_deliveries_are_read_and_a_message_is_tried_again(
    stub: StubGateway, make: Make
) -> None:
    tried = {"message": "msg_1", "event": "approval.requested", "number": 2, "at_ms": 5}
    given_up = {"message": "msg_0", "event": "e", "at_ms": 5, "tries": 9, "error": "timeout"}
    stub.on(
        f"GET {MANY}/whk_1/deliveries",
        {"pending": 3, "attempts": [tried], "dead": [given_up]},
    )
    stub.on(f"POST {MANY}/whk_1/deliveries/msg_0/retry", {})
    client = make(stub.url)
    found = await ask(client.list_deliveries("whk_1"))
    assert (found.pending, found.attempts[0].number, found.dead[0].tries) == (3, 2, 9)
    assert await ask(client.retry_delivery("whk_1", "msg_0")) is None
