"""One client's places in the numberings of the logs that its stream is made of."""

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from bursar.events import CHILD_NEWS, EventLog, LoggedEvent, read_head, read_log
from bursar.store.store import Store

__all__ = ["Gap", "Heard", "Place", "Subscription"]

_QUEUE_MAX_BYTES = 1024 * 1024
_NEWS_RANK = 9
_PAGE = 100  # events a read of the log: with 30 kB tool results that is still some megabytes


class Gap(msgspec.Struct, frozen=True):
    """Events that the log no longer holds."""

    first: int
    last: int


Heard = tuple[int, LoggedEvent | Gap]
"""What waits for a reader, with the index of the log that it is of."""


class Place:
    """Where the reader is in one of its logs."""

    def __init__(self, log: EventLog, index: int, subscription: "Subscription") -> None:
        self.log = log
        self.index = index
        self.behind = False
        """Its log may have events that only a read of it will show."""
        self.known = False
        """Whether ``seq`` is a place in the log yet."""
        self.seq = 0
        """Of the last event that was queued, delivered or skipped."""
        self.subscription = subscription

    def offer(self, event: LoggedEvent) -> None:
        """Take a published event."""
        self.subscription.offer(self, event)

    def miss(self) -> None:
        """Events may have been published that nobody heard."""
        self.fall_behind()
        self.subscription.wake()

    def fall_behind(self) -> None:
        self.behind = self.subscription.behind = True


class Subscription:
    """Events of some logs: those of each one in order, each once. One task reads it.

    What is published on different logs comes in the order of publication; what is read from them
    in the order of its times, as far as those tell.

    Args:
        limit: events that wait for the reader at most. What comes on top is not kept; the reader
            is marked as behind and reads it from the log when it comes round.

    """

    def __init__(self, logs: Sequence[EventLog], *, limit: int) -> None:
        self.places = tuple(Place(log, index, self) for index, log in enumerate(logs))
        self.behind = False
        """Whether one of the places is."""
        self.closed = False
        self._limit = limit
        self._queue: list[Heard] = []
        self._bytes = 0
        self._aside: list[tuple[Place, LoggedEvent]] | None = None
        """What is published while logs are read: it comes after what they hold."""
        self._waiter: asyncio.Future[None] | None = None

    @property
    def position(self) -> tuple[int, ...]:
        return tuple(place.seq for place in self.places)

    def start(self, after: Sequence[int], *, behind: bool) -> None:
        """Begin after these events; what came in before that is dropped.

        Args:
            behind: there may be later events in the logs, published before we listened.

        """
        kept = [(i, e) for i, e in self._queue if isinstance(e, LoggedEvent) and e.seq > after[i]]
        first: dict[int, int] = {}
        for index, event in kept:
            first.setdefault(index, event.seq)
        whole = all(
            place.seq <= seq or first.get(place.index) == seq + 1
            for place, seq in zip(self.places, after, strict=True)
        )
        heard = whole and not behind and not self.behind
        self.take()
        for place, seq in zip(self.places, after, strict=True):
            place.known, place.seq = True, max(place.seq, seq) if heard else seq
            if not heard:
                place.fall_behind()
        if heard:
            self._queue = list(kept)
            self._bytes = sum(len(event.data) for _, event in kept)

    def offer(self, place: Place, event: LoggedEvent) -> None:
        if self._aside is not None:
            if len(self._aside) < self._limit:
                self._aside.append((place, event))
            else:
                place.fall_behind()
            return
        seq = event.seq
        if place.known and seq != place.seq + 1:
            if seq > place.seq:
                place.fall_behind()
        # What one log still has to be read for may be older than what another one brings.
        elif self.behind or len(self._queue) >= self._limit or self._bytes > _QUEUE_MAX_BYTES:
            place.fall_behind()
        else:
            self._queue.append((place.index, event))
            self._bytes += len(event.data)
            place.seq, place.known = seq, True
        self.wake()

    def take(self) -> list[Heard]:
        """All that waits."""
        taken, self._queue = self._queue, []
        self._bytes = 0
        return taken

    def miss_beside(self, index: int) -> None:
        """Have all logs but this one read once more: a lost message shows by nothing else."""
        for place in self.places:
            if place.index != index:
                place.fall_behind()

    def owes_beside(self, index: int) -> bool:
        """Whether a log other than this one may have events that were not delivered."""
        return any(place.behind for place in self.places if place.index != index)

    def give_up(self) -> None:
        """Read no log any more: they are gone."""
        for place in self.places:
            place.behind = False
        self.behind = False

    async def fill(self, store: Store) -> None:
        """Read a page of each log that is behind; `behind` says then whether there may be more.

        Raises:
            NotFound: what a log was of is no more.
            StoreUnavailable: still behind.

        """
        places = [place for place in self.places if place.behind]
        self._aside = []
        for place in places:
            place.behind = False
        try:
            pages = [await _page(store, place) for place in places]
            for number, item in _merge(pages):
                self._append(places[number], item)
            for place, page in zip(places, pages, strict=True):
                place.behind = place.behind or len(page) >= _PAGE or _last(page) > place.seq
        except BaseException:
            for place in places:
                place.behind = True
            raise
        finally:
            aside, self._aside = self._aside, None
            self.behind = any(place.behind for place in self.places)
            for place, event in aside:
                self.offer(place, event)

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

    def _append(self, place: Place, item: LoggedEvent | Gap) -> None:
        self._queue.append((place.index, item))
        if isinstance(item, Gap):
            place.seq = item.last
        else:
            self._bytes += len(item.data)
            place.seq = item.seq
        place.known = True


async def _page(store: Store, place: Place) -> list[LoggedEvent | Gap]:
    """Read what comes next in a log, with the gaps in it."""
    after = place.seq
    events = await read_log(store, place.log, after=after, limit=_PAGE)
    if not events:
        newest, _ = await read_head(store, place.log)
        if newest > after:
            events = await read_log(store, place.log, after=after, limit=_PAGE)
            if not events:
                return [Gap(after + 1, newest)]
    page: list[LoggedEvent | Gap] = []
    for event in events:
        if event.seq > after + 1:
            page.append(Gap(after + 1, event.seq - 1))
        page.append(event)
        after = event.seq
    return page


def _merge(pages: list[list[LoggedEvent | Gap]]) -> Iterator[tuple[int, LoggedEvent | Gap]]:
    """Go through pages by time, until one ends that may not be all of its log."""
    if len(pages) == 1:
        yield from ((0, item) for item in pages[0])
        return
    at = [0] * len(pages)
    while heads := [n for n, page in enumerate(pages) if at[n] < len(page)]:
        number = min(heads, key=lambda n: (_time_of(pages[n], at[n]), _rank(n, pages[n][at[n]])))
        yield number, pages[number][at[number]]
        at[number] += 1
        if at[number] == len(pages[number]) >= _PAGE:
            return


def _rank(number: int, item: LoggedEvent | Gap) -> int:
    """What comes first at the same time: a cause above, then what is below, then news of that."""
    if number:
        return number
    return _NEWS_RANK if isinstance(item, LoggedEvent) and item.kind in CHILD_NEWS else 0


def _time_of(page: list[LoggedEvent | Gap], at: int) -> int:
    """When an item happened; a gap comes right before the event behind it."""
    item = page[at]
    if isinstance(item, LoggedEvent):
        return item.at_ms
    return _time_of(page, at + 1) if at + 1 < len(page) else 0


def _last(page: list[LoggedEvent | Gap]) -> int:
    if not page:
        return 0
    return page[-1].last if isinstance(page[-1], Gap) else page[-1].seq
