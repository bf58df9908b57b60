"""What a message says, and what is refused of endpoints before anything is stored."""

import msgspec
import pytest

from bursar.egress import Egress
from bursar.errors import InvalidInput, NotFound
from bursar.store.scripts.deliveries import OutboxEntry
from bursar.store.store import Store
from bursar.webhooks import changes, endpoints, messages
from bursar.webhooks.endpoints import Endpoint, NewWebhook, WebhookPatch
from bursar.webhooks.messages import event_of, failed_body, message_body
from support.webhooks import Post

ENTRY = OutboxEntry("1795640831762-3", "acme", "approval.requested", b'{"approval":"apr_1"}')


def test_a_message_has_the_events_data_untouched() -> None:
    body = message_body(ENTRY)
    assert body.endswith(b'"data":{"approval":"apr_1"}}')
    assert msgspec.json.decode(body) == {
        "type": "approval.requested",
        "timestamp": "2026-11-25T21:07:11.762+00:00",
        "workspace": "acme",
        "data": {"approval": "apr_1"},
    }
    assert event_of(body) == "approval.requested"
    assert message_body(ENTRY) == body


def test_an_event_about_a_dead_message_is_of_no_session(store: Store) -> None:
    told = msgspec.json.decode(failed_body(store.workspace("acme").webhook("whk_1")))
    assert told == {"session": "", "turn": "", "step": 0, "attempt": 0, "webhook": "whk_1"}


def test_an_endpoint_wants_what_it_asked_for_and_tests() -> None:
    endpoint = Endpoint("https://example.org", ("approval.resolved",), "", 1, "key:k")
    wanted = [kind for kind in (*endpoints.EVENTS, endpoints.TEST) if endpoint.wants(kind)]
    assert wanted == ["approval.resolved", "webhook.test"]


async def test_a_refused_change_leaves_the_endpoint_as_it_was(store: Store) -> None:
    post = await Post.build(store)
    wish = NewWebhook("https://example.org/")
    made = await changes.create(store, post.ws, wish, egress=Egress(), max_webhooks=5, by="key:k")
    name = made.webhook.id
    for patch in (WebhookPatch(url="https://10.0.0.1/"), WebhookPatch(events=("turn.failed",))):
        with pytest.raises(InvalidInput):
            await changes.change(store, post.ws, name, patch, egress=Egress(), by="key:k")
    assert await endpoints.get(store, post.ws, name) == made.webhook


async def test_a_name_that_is_none_is_told(store: Store) -> None:
    post = await Post.build(store)
    with pytest.raises(InvalidInput):
        await endpoints.get(store, post.ws, "a/b")
    with pytest.raises(NotFound):
        await messages.list_deliveries(store, post.ws, "whk_none")
