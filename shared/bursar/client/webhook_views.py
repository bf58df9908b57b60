"""What a client reads about webhooks. See `bursar.client.views`."""

import msgspec

__all__ = [
    "DeadMessage",
    "Deliveries",
    "DeliveryAttempt",
    "SentTest",
    "WebhookSecret",
    "WebhookView",
]


class WebhookView(msgspec.Struct, frozen=True):
    """An endpoint that is told of events, and how it answers.

    ``paused_by`` is ``person``, or ``gone`` if it said that it wants no more. After several
    ``failures`` in a row it is left alone until ``rests_until_ms``. ``dead`` messages were given
    up; `list_deliveries` has them.
    """

    id: str
    url: str
    events: tuple[str, ...] = ()
    description: str = ""
    created_ms: int = 0
    created_by: str = ""
    paused: bool = False
    paused_by: str = ""
    pending: int = 0
    dead: int = 0
    delivered: int = 0
    failures: int = 0
    rests_until_ms: int = 0
    last_delivered_ms: int = 0
    last_failed_ms: int = 0
    last_failure: str = ""
    old_secret_until_ms: int = 0


class WebhookSecret(msgspec.Struct, frozen=True):
    """An endpoint with its new ``secret``, which is never shown again."""

    webhook: WebhookView
    secret: str

    def __repr__(self) -> str:
        return f"WebhookSecret(webhook={self.webhook.id}, secret=…)"


class DeliveryAttempt(msgspec.Struct, frozen=True):
    """One try. ``status`` is what was answered, 0 for nothing; ``error`` is empty if it worked."""

    message: str
    event: str
    number: int
    at_ms: int
    status: int = 0
    error: str = ""
    took_ms: int = 0


class DeadMessage(msgspec.Struct, frozen=True):
    """A message that was given up; `retry_delivery` tries it again."""

    message: str
    event: str
    at_ms: int
    tries: int
    error: str


class Deliveries(msgspec.Struct, frozen=True):
    """What became of an endpoint's messages; the newest first."""

    pending: int
    attempts: list[DeliveryAttempt]
    dead: list[DeadMessage]


class SentTest(msgspec.Struct, frozen=True):
    """A test is on its way; how it went shows among the deliveries."""

    message: str
