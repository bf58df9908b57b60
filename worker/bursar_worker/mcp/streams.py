"""What lies between a transport and the session: counts messages and notices the end."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

import anyio
from mcp.shared.message import SessionMessage

from bursar_worker.mcp.limits import Inflow

__all__ = ["Streams", "watched"]

Streams = tuple[Any, Any]
"""What the SDK's transports yield: a stream to read from and one to write to."""


class _Watched:
    """A stream of messages that tells when it is over.

    Without it an end would go unnoticed until the next call, and the program stay dead until then.
    """

    def __init__(self, inner: Any, inflow: Inflow, on_end: Callable[[], None]) -> None:
        self._inner = inner
        self._inflow = inflow
        self._on_end = on_end

    @property
    def last_context(self) -> Any:
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        try:
            message: SessionMessage | Exception = await self._inner.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._on_end()
            raise
        self._inflow.add_message()
        return message

    async def aclose(self) -> None:
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@asynccontextmanager
async def watched(
    transport: AbstractAsyncContextManager[Streams], inflow: Inflow, on_end: Callable[[], None]
) -> AsyncIterator[Streams]:
    """A transport whose messages are counted, and which calls ``on_end`` when there are no more."""
    async with transport as (incoming, outgoing):
        yield _Watched(incoming, inflow, on_end), outgoing
