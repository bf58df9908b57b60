"""All writes of one drive, in order and one at a time.

The lease numbers them, so a reply lost with a connection is asked for again under the same number
and nothing is applied twice. Events of a stream are not awaited: what comes while the last append
is under way is joined and goes out with the next one, so a fast model costs few appends and a slow
one no delay.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bursar.clock import monotonic_s
from bursar.errors import BursarError, StoreUnavailable
from bursar.events import Event, Span
from bursar.leases import Lease
from bursar.store.scripts import turns as scripts
from bursar.store.store import Store

__all__ = ["SessionWriter"]

T = TypeVar("T")

_PATIENCE_S = 60.0  # how long an outage of Redis is waited out before the drive gives up
_MAX_BATCH = 200  # events an append: keeps a script well below a millisecond
_Pending = tuple[Span, str, str | None, Event | None]

logger = logging.getLogger(__name__)


class SessionWriter:
    """One a drive.

    Args:
        on_failure: called once when an append that nobody awaits could not be made.

    """

    def __init__(
        self, store: Store, lease: Lease, on_failure: Callable[[BursarError], None]
    ) -> None:
        self._store = store
        self._lease = lease
        self._on_failure = on_failure
        self._turnstile = asyncio.Lock()
        self._pending: list[_Pending] = []
        self._tasks: set[asyncio.Task[object]] = set()
        self._flushing = False
        self._failed = False

    def delta(self, span: Span, kind: str, text: str) -> None:
        """Queue a piece of streamed text; neighbours of one kind are joined into one event."""
        self._pending.append((span, kind, text, None))
        self._wake()

    def emit(self, event: Event) -> None:
        """Queue an event that nothing depends on."""
        self._pending.append((Span(""), event.kind, None, event))
        self._wake()

    async def write(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run one fenced script call after all that was queued before it.

        Cancelling the wait does not cancel the write: its number is taken, so it has to land.

        Raises:
            Fenced: another worker drives the session; stop.
            StoreUnavailable: Redis was away for longer than a drive waits.

        """
        return await asyncio.shield(self._spawn(self._in_turn(operation)))

    async def read(self, command: str, *arguments: Any) -> Any:
        """Read what Redis has after all that was queued before; an outage is waited out."""
        return await self.write(lambda: self._store.redis.call(command, *arguments))

    async def settle(self) -> None:
        """Wait until nothing is under way any more."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: "Awaitable[T]") -> "asyncio.Task[T]":
        async def run() -> T:
            return await work

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _in_turn(self, operation: Callable[[], Awaitable[T]]) -> T:
        async with self._turnstile:
            await self._append_pending()
            return await _persist(operation)

    def _wake(self) -> None:
        if not self._flushing and not self._failed:
            self._flushing = True
            self._spawn(self._flush())

    async def _flush(self) -> None:
        try:
            while self._pending:
                async with self._turnstile:
                    await self._append_pending()
        except BursarError as error:
            self._failed = True
            self._pending.clear()
            self._on_failure(error)
        finally:
            self._flushing = False

    async def _append_pending(self) -> None:
        while self._pending:
            batch, self._pending = self._pending[:_MAX_BATCH], self._pending[_MAX_BATCH:]
            events = _join(batch)
            await _persist(lambda: scripts.append_events(self._store, self._lease, events))  # noqa: B023


def _join(batch: list[_Pending]) -> list[Event]:
    """Turn what is pending into events; runs of one kind in one span become one."""
    events: list[Event] = []
    texts: list[str] = []
    for index, (span, kind, text, event) in enumerate(batch):
        if event is not None:
            events.append(event)
            continue
        texts.append(text or "")
        following = batch[index + 1] if index + 1 < len(batch) else None
        if following is None or following[:2] != (span, kind):
            events.append(span.event(kind, text="".join(texts)))
            texts.clear()
    return events


async def _persist(operation: Callable[[], Awaitable[T]]) -> T:
    """Repeat a numbered call while Redis is away; the number makes the repeat safe."""
    deadline = monotonic_s() + _PATIENCE_S
    pause_s = 0.05
    while True:
        try:
            return await operation()
        except StoreUnavailable as error:
            if monotonic_s() > deadline:
                raise
            logger.warning("Redis is away, will repeat the write: %s", error)
            await asyncio.sleep(pause_s)
            pause_s = min(1.0, pause_s * 2)
