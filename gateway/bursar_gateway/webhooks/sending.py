"""Brings one message to one endpoint, as Standard Webhooks says.

The id is the message's and the same in every try; the time of the try and the body are signed with
each secret that is valid. Of the answer nothing but its status is looked at, and nothing of it is
shown to anybody: who could read what an address answers could explore a network.
"""

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime

import httpcore
import msgspec
from standardwebhooks import Webhook

from bursar import __version__
from bursar.clock import monotonic_s
from bursar.egress import Egress
from bursar.errors import InvalidInput
from bursar.settings import GatewaySettings
from bursar_gateway.webhooks.guard import (
    AddressRefused,
    GuardedNetwork,
    Resolve,
    SystemResolver,
    tls_context,
)

__all__ = ["Answer", "Sender"]

_BODY_MAX = 16_384  # bytes that are read, and thrown away, so that the connection can be kept
_RETRY_AFTER_MAX_S = 3600.0
_CONNECTIONS_MAX, _KEPT_MAX, _KEPT_S = 1000, 100, 15.0


class Answer(msgspec.Struct, frozen=True):
    """How it went. ``error`` is a word for what went wrong, empty if the message was taken."""

    status: int = 0
    error: str = ""
    took_ms: int = 0
    retry_after_s: float = 0.0

    @property
    def outcome(self) -> str:
        return "delivered" if not self.error else "gone" if self.status == 410 else "failed"


class Sender:
    """Sends for one gateway. Nothing from the environment leads elsewhere: there are no proxies.

    Args:
        resolve: for tests; else the machine's way.

    """

    def __init__(self, settings: GatewaySettings, *, resolve: Resolve | None = None) -> None:
        self._egress = Egress.of(settings)
        self._timeout_s = settings.webhook_timeout_s
        self._resolver = SystemResolver()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls_context(settings.webhook_ca_file),
            network_backend=GuardedNetwork(self._egress, resolve or self._resolver),
            http1=True,
            http2=False,
            retries=0,
            max_connections=_CONNECTIONS_MAX,
            max_keepalive_connections=_KEPT_MAX,
            keepalive_expiry=_KEPT_S,
        )

    async def send(self, url: str, message: str, body: bytes, secrets: Sequence[str]) -> Answer:
        """Try once; whatever happens is an answer."""
        began_s = monotonic_s()
        seen = _Seen()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._post(url, message, body, secrets, seen)
        except (*_FAILURES, OSError) as error:
            # A status that has come counts, even if the rest of the answer does not come.
            seen.error = seen.error if seen.status else _word_for(error)
        took_ms = int((monotonic_s() - began_s) * 1000)
        return Answer(seen.status, seen.error, took_ms, seen.retry_after_s)

    async def aclose(self) -> None:
        await self._pool.aclose()
        self._resolver.close()

    async def _post(
        self, url: str, message: str, body: bytes, secrets: Sequence[str], seen: "_Seen"
    ) -> None:
        target = self._egress.target(url)
        default = {"https": 443, "http": 80}[target.scheme]
        request = self._pool.stream(
            "POST",
            httpcore.URL(
                scheme=target.scheme.encode(),
                host=target.host.encode(),
                port=None if target.port == default else target.port,
                target=target.path.encode(),
            ),
            headers=_headers(message, body, secrets),
            content=body,
            extensions={"timeout": dict.fromkeys(_TIMEOUTS, self._timeout_s)},
        )
        async with request as response:
            seen.take(response)
            left = _BODY_MAX
            async for piece in response.aiter_stream():
                left -= len(piece)
                if left < 0:
                    return


_TIMEOUTS = ("connect", "read", "write", "pool")
_FAILURES = (
    AddressRefused,
    InvalidInput,
    TimeoutError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


class _Seen:
    """What is known of an answer so far."""

    status = 0
    error = ""
    retry_after_s = 0.0

    def take(self, response: httpcore.Response) -> None:
        self.status = response.status
        self.error = "" if 200 <= response.status < 300 else f"status_{response.status}"
        headers = {name.lower(): value for name, value in response.headers}
        after = headers.get(b"retry-after", b"") if self.error else b""
        if after.isdigit() and len(after) <= 9:
            self.retry_after_s = min(float(after), _RETRY_AFTER_MAX_S)


def _headers(message: str, body: bytes, secrets: Sequence[str]) -> list[tuple[bytes, bytes]]:
    now = datetime.now(UTC)
    signatures = [Webhook(secret).sign(message, now, body.decode()) for secret in secrets]
    return [
        (b"content-type", b"application/json"),
        (b"user-agent", f"bursar-webhooks/{__version__}".encode()),
        (b"webhook-id", message.encode()),
        (b"webhook-timestamp", str(int(now.timestamp())).encode()),
        (b"webhook-signature", " ".join(signatures).encode()),
    ]


def _word_for(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "tls"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, AddressRefused | InvalidInput):
        return "address_refused"
    if isinstance(error, TimeoutError | httpcore.TimeoutException):
        return "timeout"
    if isinstance(error, httpcore.ConnectError):
        return "cannot_connect"
    return "unknown_host" if isinstance(error, OSError) else "broken_answer"
