"""What every request passes before it is routed: is it for us, and is its body JSON?

A page in somebody's browser can send requests to a gateway on loopback or behind a name that it
controls. It cannot know a key, but it is refused before anything is looked at: by Host, by Origin
and by content type. There are no cookies and no CORS headers.
"""

from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from bursar_gateway.problems import WrongRequest, send_problem
from bursar_gateway.requests import LINES

__all__ = ["Edge"]

_JSON = b"application/json"
_LINES = frozenset(kind.encode() for kind in LINES)


class Edge:
    """Wraps the whole application.

    Args:
        allowed_hosts: names that requests may be for, without port; ``*`` allows every one.

    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = {host.lower().encode() for host in allowed_hosts}
        self._any_host = b"*" in self._hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            refusal = self._check(dict(scope["headers"]))
            if refusal:
                await send_problem(send, refusal)
                return
        await self._app(scope, receive, send)

    def _check(self, headers: dict[bytes, bytes]) -> WrongRequest | None:
        host = headers.get(b"host", b"").lower()
        if not self._any_host and _name(host) not in self._hosts:
            return WrongRequest(400, "host_not_allowed", "this gateway does not serve this host")
        origin = headers.get(b"origin")
        if origin is not None and origin.lower().partition(b"://")[2] != host:
            return WrongRequest(403, "origin_not_allowed", "requests of other origins are refused")
        if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
            kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
            # Lines are for one kind of route; others fail to read them as JSON.
            if kind != _JSON and kind not in _LINES:
                wanted = "application/json, or application/jsonl for the inputs of a job"
                return WrongRequest(415, "not_json", f"the body must be {wanted}")
        return None


def _name(host: bytes) -> bytes:
    """The host without its port; IPv6 addresses stand in brackets."""
    if host.startswith(b"["):
        return host.partition(b"]")[0] + b"]"
    return host.partition(b":")[0]
