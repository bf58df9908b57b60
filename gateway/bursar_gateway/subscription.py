"""One client's place in the numbering of a log's events."""

import asyncio

import msgspec

from bursar.events import EventLog, LoggedEvent, read_head, read_log
from bursar.store.store import Store

__all__ = ["Gap", "Subscription"]

_QUEUE_MAX_BYTES = 1024 * 1024
_PAGE = 100  # events a read of the log: with 30 kB tool results that is still some megabytes


class Gap(msgspec.Struct, frozen=True):
    """Events that the log no longer holds."""

    first: int
    last: int


class Subscription:
    """Events of one log, in order, each once. One task reads it.

    Args:
        limit: events that wait for the reader at most. What comes on top is not kept; the reader
            is marked as behind and reads it from the log when it comes round.

    """

    def __init__(self, log: EventLog, *, limit: int) -> None:
        self.log = log
        self.behind = False
        self.closed = False
        self._limit = limit
        self._position: int | None = None
        self._queue: list[LoggedEvent | Gap] = []
        self._queued_bytes = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def position(self) -> int:
        """Seq of the last event that was queued, delivered or skipped."""
        return self._position or 0

    def start(self, after: int, *, behind: bool) -> None:
        """Begin after the event ``after``; what came in before that is dropped.

        Args:
            behind: there may be later events in the log which were published before we listened.

        """
        kept = [e for e in self._queue if isinstance(e, LoggedEvent) and e.seq > after]
        newest = self.position
        self._clear()
        self._position = after
        if kept and kept[0].seq == after + 1:
            self._queue, self._position = list(kept), newest
            self._queued_bytes = sum(len(event.data) for event in kept)
        elif newest > after:
            behind = True
        self.behind = self.behind or behind

    def offer(self, event: LoggedEvent) -> None:
        """Take a published event."""
        if self._position is not None and event.seq <= self._position:
            return
        in_order = self._position is None or event.seq == self._position + 1
        full = len(self._queue) >= self._limit or self._queued_bytes > _QUEUE_MAX_BYTES
        if in_order and not full:
            self._append(event)
        else:
            self.behind = True
        self.wake()

    def miss(self) -> None:
        """Events may have been published that nobody heard."""
        self.behind = True
        self.wake()

    def take(self) -> list[LoggedEvent | Gap]:
        """All that waits."""
        taken, self._queue = self._queue, []
        self._queued_bytes = 0
        return taken

    async def fill(self, store: Store) -> None:
        """Read one page of the log; `behind` afterwards says whether there may be more.

        Raises:
            NotFound: what the log was of is no more.
            StoreUnavailable: still behind.

        """
        # Cleared first: what is published meanwhile is either in the page or sets it again.
        self.behind = False
        try:
            page = await read_log(store, self.log, after=self.position, limit=_PAGE)
            if not page:
                newest, _ = await read_head(store, self.log)
                if newest > self.position:
                    page = await read_log(store, self.log, after=self.position, limit=_PAGE)
                    if not page:
                        self._skip_to(newest)
        except BaseException:
            self.behind = True
            raise
        for event in page:
            if event.seq > self.position:
                self._skip_to(event.seq - 1)
                self._append(event)
        self.behind = self.behind or len(page) == _PAGE

    async def wait(self, timeout_s: float) -> bool:
        """Sleep until something happens. False: nothing did."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._waiter
        except TimeoutError:
            return False
        finally:
            self._waiter = None
        return True

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Tell the reader to stop, without a terminal event."""
        self.closed = True
        self.wake()

    def _append(self, event: LoggedEvent) -> None:
        self._queue.append(event)
        self._queued_bytes += len(event.data)
        self._position = event.seq

    def _skip_to(self, seq: int) -> None:
        if seq > self.position:
            self._queue.append(Gap(self.position + 1, seq))
            self._position = seq

    def _clear(self) -> None:
        self._queue = []
        self._queued_bytes = 0
