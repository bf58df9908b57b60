"""How a client reaches its gateway: arguments first, then the environment, then defaults."""

import os
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

__all__ = ["DEFAULT_URL", "Options"]

DEFAULT_URL = "http://127.0.0.1:8700"
_CONNECT_S = 5.0
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Options(msgspec.Struct, frozen=True):
    """Where the gateway is, who asks, and for how long.

    ``stream_idle_s`` is how long an event stream may be silent before it counts as cut; it has to
    be longer than the gateway's ``ping_every_s``.
    """

    base_url: str
    api_key: str
    timeout_s: float
    stream_idle_s: float
    retries: int

    @classmethod
    def of(
        cls,
        base_url: str | None,
        api_key: str | None,
        timeout_s: float,
        stream_idle_s: float,
        retries: int,
    ) -> "Options":
        url = base_url or os.environ.get("BURSAR_URL") or DEFAULT_URL
        key = os.environ.get("BURSAR_API_KEY", "") if api_key is None else api_key
        return cls(url.rstrip("/"), key, timeout_s, stream_idle_s, retries)

    def http_arguments(self) -> dict[str, Any]:
        """Return the arguments of ``httpx.Client`` and ``httpx.AsyncClient``."""
        parts = urlsplit(self.base_url)
        return {
            "base_url": self.base_url,
            "headers": {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {},
            "timeout": httpx.Timeout(self.timeout_s, connect=_CONNECT_S),
            # A proxy from the environment cannot reach this machine's own loopback.
            "trust_env": parts.hostname not in _LOOPBACK,
            # Reading the certificates takes longer than a whole request to a gateway without TLS.
            "verify": parts.scheme == "https",
        }

    @property
    def stream_timeout(self) -> httpx.Timeout:
        return httpx.Timeout(self.timeout_s, connect=_CONNECT_S, read=self.stream_idle_s)
