"""The gateway's routes about webhooks. See `bursar.client.routes`."""

from collections.abc import Sequence
from types import NoneType

from bursar.client.calls import Call
from bursar.client.places import Places, given, id_of
from bursar.client.webhook_views import Deliveries, SentTest, WebhookSecret, WebhookView

__all__ = ["WebhookRoutes"]


class WebhookRoutes(Places):
    """Builds the requests about webhooks; they need an administrator's key."""

    def list_webhooks(self) -> Call[list[WebhookView]]:
        """The workspace's endpoints, the oldest first."""
        return Call(method="GET", path=self._in_workspace("/webhooks"), kind=list[WebhookView])

    def create_webhook(
        self, url: str, *, events: Sequence[str] | None = None, description: str | None = None
    ) -> Call[WebhookSecret]:
        """Make an endpoint. Its secret is shown in this answer and never again.

        Args:
            events: what it is told of: ``approval.requested`` and ``approval.deferred`` unless
                given, also ``approval.resolved``.

        """
        body = {"url": url} | given(events=events, description=description)
        path = self._in_workspace("/webhooks")
        return Call(method="POST", path=path, kind=WebhookSecret, body=body)

    def get_webhook(self, webhook: str) -> Call[WebhookView]:
        return Call(method="GET", path=self._webhook(webhook), kind=WebhookView)

    def update_webhook(
        self,
        webhook: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        paused: bool | None = None,
    ) -> Call[WebhookView]:
        """Change what is given. While it is paused it misses what happens."""
        body = given(url=url, events=events, description=description, paused=paused)
        return Call(method="PATCH", path=self._webhook(webhook), kind=WebhookView, body=body)

    def delete_webhook(self, webhook: str) -> Call[None]:
        """Remove an endpoint with all that waits for it."""
        return Call(method="DELETE", path=self._webhook(webhook), kind=NoneType)

    def rotate_webhook(self, webhook: str) -> Call[WebhookSecret]:
        """Make a new secret. For 24 hours messages are signed with both."""
        return Call(method="POST", path=self._webhook(webhook, "/rotate"), kind=WebhookSecret)

    def test_webhook(self, webhook: str) -> Call[SentTest]:
        """Send it a ``webhook.test``, once."""
        return Call(method="POST", path=self._webhook(webhook, "/test"), kind=SentTest)

    def list_deliveries(self, webhook: str) -> Call[Deliveries]:
        """The last hundred tries, and as many of the messages that were given up."""
        return Call(method="GET", path=self._webhook(webhook, "/deliveries"), kind=Deliveries)

    def retry_delivery(self, webhook: str, message: str) -> Call[None]:
        """Try a message again, now: one that was given up, or one that waits."""
        path = self._webhook(webhook, f"/deliveries/{id_of(message)}/retry")
        return Call(method="POST", path=path, kind=NoneType)

    def _webhook(self, webhook: str, path: str = "") -> str:
        return self._in_workspace(f"/webhooks/{id_of(webhook)}{path}")
