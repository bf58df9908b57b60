"""What a client can stream: a session, one turn of it, or the questions of a workspace.

`EventStream` sends whatever happens in some logs; what differs between these is said here. A
session or a turn may be watched with all below it: then the tree's log is the second one. Its
events and those of the session's own log are numbered apart, so that none has to be written twice.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from bursar import turns
from bursar.clock import wall_ms
from bursar.errors import NotFound
from bursar.events import TERMINAL, EventLog, LoggedEvent, Span, read_head, turn_head
from bursar.gate.approvals import list_open, told_of
from bursar.store.codec import decode_json
from bursar.store.keys import SessionKeys, TreeKeys, WorkspaceKeys
from bursar.store.store import Store
from bursar_gateway.below import Below
from bursar_gateway.subscription import Heard

__all__ = ["Opening", "Watched", "WatchedFeed", "WatchedSession", "WatchedTurn", "logs_of"]


class Opening(msgspec.Struct, frozen=True):
    """After which event of each log a stream begins.

    ``told`` is the present state in place of all events until then; None: it begins with events.
    """

    after: tuple[int, ...]
    told: tuple[LoggedEvent, ...] | None = None


class Watched:
    """Some logs, or a part of them.

    Args:
        logs: the one that the stream ends with comes first.
        snapshot_urls: where to read the present state after events of each log were missed.
        session: of all of the first log's events, if they are of one; ``turn`` likewise.

    """

    last_kinds: frozenset[str] = frozenset()
    """The stream ends with an event of the first log that is of one of these kinds."""

    def __init__(
        self,
        logs: Sequence[EventLog],
        snapshot_urls: Sequence[str],
        *,
        session: str = "",
        turn: str = "",
    ) -> None:
        self.logs = tuple(logs)
        self.snapshot_urls = tuple(snapshot_urls)
        self.session = session
        self.turn = turn

    def unknown(self, waiting: Sequence[Heard]) -> set[str]:
        """Sessions to `learn` of before `shows` can be asked about these events."""
        del waiting
        return set()

    async def learn(self, store: Store, sids: set[str]) -> None:
        """Find out about sessions what decides whether their events are shown."""
        del store, sids

    def shows(self, log: int, event: LoggedEvent) -> bool:
        """Whether an event of a log, by its index, is one of the part that is watched."""
        del log, event
        return True

    async def newest(self, store: Store) -> tuple[int, ...]:
        """The seq of each log's newest event. Raises `NotFound`."""
        heads = await asyncio.gather(*(read_head(store, log) for log in self.logs))
        return tuple(seq for seq, _ in heads)

    async def opening(self, store: Store) -> Opening:
        """How a client without a cursor begins. Raises `NotFound`: nothing is there to watch."""
        await self.newest(store)
        return self.from_the_start()

    def from_the_start(self) -> Opening:
        return Opening((0,) * len(self.logs))

    async def end(self, store: Store) -> LoggedEvent | None:
        """The event that ends the stream, made from state; None while it goes on."""
        del store
        return None

    def gone(self, seq: int) -> LoggedEvent | None:
        """The end of a stream whose first log is no more. None: it is closed without a word."""
        del seq
        return None


class _WatchedBelow(Watched):
    """A session's own events, and with ``tree`` those of what is below it."""

    def __init__(
        self, session: SessionKeys, snapshot_url: str, *, turn: str = "", tree: bool = False
    ) -> None:
        super().__init__(
            logs_of(session, tree=tree),
            (snapshot_url, f"{_url(session.workspace)}/sessions/{session.id}/tree")[: 1 + tree],
            session=session.id,
            turn=turn,
        )
        self._below = Below(session, turn)

    def unknown(self, waiting: Sequence[Heard]) -> set[str]:
        if len(self.logs) == 1:
            return set()
        return self._below.unknown(
            event for log, event in waiting if log and isinstance(event, LoggedEvent)
        )

    async def learn(self, store: Store, sids: set[str]) -> None:
        await self._below.learn(store, sids)

    def shows(self, log: int, event: LoggedEvent) -> bool:
        return not log or self._below.has(event)


class WatchedSession(_WatchedBelow):
    """A session, from the start of its log."""

    last_kinds = frozenset({"session.ended"})

    def __init__(self, session: SessionKeys, *, tree: bool = False) -> None:
        url = f"{_url(session.workspace)}/sessions/{session.id}"
        super().__init__(session, url, tree=tree)

    async def end(self, store: Store) -> LoggedEvent | None:
        seq, state = await read_head(store, self.logs[0])
        return _session_ended(self.session, seq) if state == "ended" else None

    def gone(self, seq: int) -> LoggedEvent:
        return _session_ended(self.session, seq, deleted=True)


class WatchedTurn(_WatchedBelow):
    """One turn. Its record outlives its session, and so does its stream."""

    last_kinds = TERMINAL

    def __init__(self, session: SessionKeys, turn: str, *, tree: bool = False) -> None:
        url = f"{_url(session.workspace)}/turns/{turn}"
        super().__init__(session, url, turn=turn, tree=tree)
        self._workspace = session.workspace.id
        self._head = turn_head(session.id, turn)

    def shows(self, log: int, event: LoggedEvent) -> bool:
        return self._below.has(event) if log else event.data.startswith(self._head)

    async def newest(self, store: Store) -> tuple[int, ...]:
        try:
            return await super().newest(store)
        except NotFound:
            return self.from_the_start().after

    async def opening(self, store: Store) -> Opening:
        del store
        return self.from_the_start()

    async def end(self, store: Store) -> LoggedEvent | None:
        return await turns.derived_terminal(store, self._workspace, self.turn)

    def gone(self, seq: int) -> LoggedEvent:
        return _session_ended(self.session, seq, deleted=True)


class _Facts(msgspec.Struct, frozen=True):
    """What an event of a feed may say that decides who sees it."""

    root: str = ""
    approval: str = ""


class WatchedFeed(Watched):
    """The questions of a workspace: first those that are open, then what happens.

    Args:
        root: only those of this session's tree.

    """

    def __init__(self, workspace: WorkspaceKeys, root: str = "") -> None:
        where = f"{_url(workspace)}/approvals" + (f"?root={root}" if root else "")
        super().__init__((workspace,), (where,))
        self._workspace = workspace
        self._root = root
        self._told: frozenset[str] = frozenset()

    def shows(self, log: int, event: LoggedEvent) -> bool:
        del log
        facts = decode_json(event.data, _Facts)
        if self._root and facts.root != self._root:
            return False
        return event.kind != "approval.requested" or facts.approval not in self._told

    async def opening(self, store: Store) -> Opening:
        # In this order: what is asked in between is among the open ones or comes as an event, and
        # if it is both, `shows` hides the second.
        (after,) = await self.newest(store)
        views = await list_open(store, self._workspace, root=self._root)
        self._told = frozenset(view.id for view in views)
        told = []
        for view in sorted(views, key=lambda view: (view.created_ms, view.id)):
            facts = told_of(msgspec.structs.asdict(view))
            event = Span(view.session, view.turn, view.step).event(
                "approval.requested",
                **facts,
                deadline_ms=view.deadline_ms,
                state=view.state,
                seq=after,
                at_ms=view.created_ms,
            )
            told.append(LoggedEvent(after, event.kind, event.body))
        return Opening((after,), tuple(told))


def logs_of(session: SessionKeys, *, tree: bool) -> tuple[EventLog, ...]:
    """The logs of which a session's stream is made, with what is below it or without."""
    return (session, TreeKeys(session)) if tree else (session,)


def _session_ended(session: str, seq: int, **data: Any) -> LoggedEvent:
    event = Span(session).event("session.ended", **data, seq=seq, at_ms=wall_ms())
    return LoggedEvent(seq, event.kind, event.body)


def _url(workspace: WorkspaceKeys) -> str:
    return f"/v1/workspaces/{workspace.id}"
