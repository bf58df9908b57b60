"""The streamable HTTP transport of the SDK, with bounds on what an answer may hold."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx2
from mcp.client.streamable_http import streamable_http_client

from bursar.mcp import HttpEndpoint
from bursar_worker.mcp.failures import LostError
from bursar_worker.mcp.limits import MAX_MESSAGE_BYTES, Inflow
from bursar_worker.mcp.streams import Streams

__all__ = ["open_http"]

_SESSION = "mcp-session-id"
_CONNECT_S = 10.0
_SILENCE_S = 300.0  # of a stream that waits for news; calls have their own, shorter limits


class _BoundedBody(httpx2.AsyncByteStream):
    """A body that is given up when it is too long. One of events may go on, but not that fast."""

    def __init__(
        self, inner: httpx2.AsyncByteStream, inflow: Inflow, max_bytes: int | None
    ) -> None:
        self._inner = inner
        self._inflow = inflow
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            self._inflow.add_bytes(len(chunk))
            size += len(chunk)
            if self._max_bytes is not None and size > self._max_bytes:
                raise LostError(f"it sent an answer of more than {self._max_bytes:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


@asynccontextmanager
async def open_http(
    endpoint: HttpEndpoint, headers: Mapping[str, str], inflow: Inflow
) -> AsyncIterator[Streams]:
    """Talk to the address. Redirects are followed on the same origin only, as the SDK has it."""

    async def bound(response: httpx2.Response) -> None:
        if response.is_error:
            inflow.refusal = f"HTTP {response.status_code} {response.reason_phrase}"
        if response.status_code == HTTPStatus.NOT_FOUND and _SESSION in response.request.headers:
            inflow.forgotten = True
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            # A few bytes could become any number; it was asked not to.
            raise LostError("it compresses its answers")
        streams = response.headers.get("content-type", "").startswith("text/event-stream")
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101
        limit = None if streams else MAX_MESSAGE_BYTES
        response.stream = _BoundedBody(response.stream, inflow, limit)

    async with (
        httpx2.AsyncClient(
            headers={**headers, "accept-encoding": "identity"},
            timeout=httpx2.Timeout(_CONNECT_S, read=_SILENCE_S),
            event_hooks={"response": [bound]},
        ) as client,
        streamable_http_client(
            endpoint.url, http_client=client, max_sse_event_size=MAX_MESSAGE_BYTES
        ) as streams,
    ):
        yield streams
