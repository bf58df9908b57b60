"""Two logs of one reader: what is read and what is heard come in one order, each event once."""

from collections.abc import Callable
from typing import Any

import pytest

from bursar.events import EventLog, LoggedEvent
from bursar.store.keys import SessionKeys, TreeKeys, WorkspaceKeys
from bursar.store.store import Store
from bursar_gateway import subscription as module
from bursar_gateway.subscription import Subscription

OWN, BELOW = 0, 1


def logged(seq: int, at_ms: int, kind: str = "x") -> LoggedEvent:
    return LoggedEvent(seq, kind, b'{"session":"s","at_ms":%d}' % at_ms)


class Logs:
    """What two logs hold; ``during`` is called in the middle of each read."""

    def __init__(self, own: list[LoggedEvent], below: list[LoggedEvent]) -> None:
        session = SessionKeys(WorkspaceKeys("acme", 16), "s")
        self.keys: tuple[EventLog, EventLog] = (session, TreeKeys(session))
        self.held = {session.events: own, session.tree_log: below}
        self.during: Callable[[], None] = lambda: None
        self.reads = 0

    async def read_log(
        self, store: Any, log: EventLog, *, after: int, limit: int
    ) -> list[LoggedEvent]:
        del store
        page = [event for event in self.held[log.events] if event.seq > after][:limit]
        self.reads += 1
        self.during()
        return page

    async def read_head(self, store: Any, log: EventLog) -> tuple[int, str]:
        del store
        held = self.held[log.events]
        return (held[-1].seq if held else 0), ""


def subscribed(
    monkeypatch: pytest.MonkeyPatch, own: list[LoggedEvent], below: list[LoggedEvent]
) -> tuple[Logs, Subscription]:
    logs = Logs(own, below)
    monkeypatch.setattr(module, "read_log", logs.read_log)
    monkeypatch.setattr(module, "read_head", logs.read_head)
    return logs, Subscription(logs.keys, limit=1000)


def taken(subscription: Subscription) -> list[tuple[int, int]]:
    """Index of the log and seq of each event that waits."""
    return [(log, item.seq) for log, item in subscription.take() if isinstance(item, LoggedEvent)]


async def _whole(store: Store, subscription: Subscription) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for _ in range(100):
        if not subscription.behind:
            return found
        await subscription.fill(store)
        found += taken(subscription)
    raise AssertionError("it never catches up")


async def test_what_is_published_while_logs_are_read_comes_behind_what_they_hold(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, subscription = subscribed(monkeypatch, [logged(1, 10), logged(2, 30)], [logged(1, 20)])
    own, below = subscription.places

    def published() -> None:
        logs.during = lambda: None
        own.offer(logged(2, 30))
        below.offer(logged(1, 20))
        below.offer(logged(2, 40))

    logs.during = published
    subscription.start([0, 0], behind=True)
    await subscription.fill(store)
    assert taken(subscription) == [(OWN, 1), (BELOW, 1), (OWN, 2), (BELOW, 2)]
    assert not subscription.behind
    own.offer(logged(3, 50))
    assert taken(subscription) == [(OWN, 3)]


async def test_while_one_log_has_to_be_read_nothing_of_the_other_overtakes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, subscription = subscribed(
        monkeypatch, [logged(1, 40)], [logged(1, 10), logged(2, 20), logged(3, 30)]
    )
    own, below = subscription.places
    subscription.start([0, 0], behind=False)
    below.offer(logged(1, 10))
    below.offer(logged(3, 30))
    own.offer(logged(1, 40))
    assert taken(subscription) == [(BELOW, 1)]
    assert await _whole(store, subscription) == [(BELOW, 2), (BELOW, 3), (OWN, 1)]
    del logs


async def test_at_one_time_a_cause_comes_first_and_news_of_below_last(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [logged(1, 5, "turn.queued"), logged(2, 5, "child.spawned"), logged(3, 5, "step.started")]
    _, subscription = subscribed(monkeypatch, own, [logged(1, 5, "session.created")])
    subscription.start([0, 0], behind=True)
    assert await _whole(store, subscription) == [(OWN, 1), (BELOW, 1), (OWN, 2), (OWN, 3)]


@pytest.mark.parametrize("clock_goes_back", [False, True])
async def test_long_logs_are_read_page_by_page_and_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, clock_goes_back: bool
) -> None:
    own = [logged(seq, 1000 if clock_goes_back and seq < 50 else seq) for seq in range(1, 351)]
    below = [logged(seq, 2 * seq) for seq in range(1, 271)]
    logs, subscription = subscribed(monkeypatch, own, below)
    subscription.start([0, 0], behind=True)
    found = await _whole(store, subscription)
    for log, count in ((OWN, 350), (BELOW, 270)):
        assert [seq for each, seq in found if each == log] == list(range(1, count + 1))
    if not clock_goes_back:
        times = [seq if log == OWN else 2 * seq for log, seq in found]
        assert times == sorted(times)
    assert logs.reads <= 20


async def test_what_is_late_in_a_short_log_waits_for_the_pages_of_a_long_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [logged(seq, seq) for seq in range(1, 251)]
    _, subscription = subscribed(monkeypatch, own, [logged(1, 50), logged(2, 900)])
    subscription.start([0, 0], behind=True)
    found = await _whole(store, subscription)
    assert found.index((BELOW, 1)) == 50
    assert found[-2:] == [(OWN, 250), (BELOW, 2)]


async def test_a_reader_that_starts_at_what_it_has_heard_reads_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, subscription = subscribed(monkeypatch, [], [])
    own, below = subscription.places
    for place, seq in ((own, 7), (below, 3), (own, 8), (below, 4)):
        place.offer(logged(seq, seq))
    subscription.start([6, 3], behind=False)
    assert taken(subscription) == [(OWN, 7), (OWN, 8), (BELOW, 4)]
    assert (subscription.behind, logs.reads) == (False, 0)
    own.offer(logged(10, 10))
    assert subscription.behind
