"""What a client can stream: a session, one turn of it, or the questions of a workspace.

`EventStream` sends whatever happens in a log; what differs between these is said here.
"""

from typing import Any

import msgspec

from bursar import turns
from bursar.clock import wall_ms
from bursar.errors import NotFound
from bursar.events import TERMINAL, EventLog, LoggedEvent, Span, read_head, turn_head
from bursar.gate.approvals import list_open, told_of
from bursar.store.codec import decode_json
from bursar.store.keys import SessionKeys, WorkspaceKeys
from bursar.store.store import Store

__all__ = ["Opening", "Watched", "WatchedFeed", "WatchedSession", "WatchedTurn"]


class Opening(msgspec.Struct, frozen=True):
    """After which event a stream begins.

    ``told`` is the present state in place of all events until then; None: it begins with events.
    """

    after: int = 0
    told: tuple[LoggedEvent, ...] | None = None


class Watched:
    """A log, or a part of it.

    Args:
        snapshot_url: where to read the present state after events were missed.
        session: of all of its events, if they are of one; ``turn`` likewise.

    """

    last_kinds: frozenset[str] = frozenset()
    """The stream ends with an event of one of these kinds."""

    def __init__(
        self, log: EventLog, snapshot_url: str, *, session: str = "", turn: str = ""
    ) -> None:
        self.log = log
        self.snapshot_url = snapshot_url
        self.session = session
        self.turn = turn

    def shows(self, event: LoggedEvent) -> bool:
        """Whether an event of the log is one of the part that is watched."""
        del event
        return True

    async def newest(self, store: Store) -> int:
        """The seq of the log's newest event. Raises `NotFound`."""
        seq, _ = await read_head(store, self.log)
        return seq

    async def opening(self, store: Store) -> Opening:
        """How a client without a cursor begins. Raises `NotFound`: nothing is there to watch."""
        await self.newest(store)
        return Opening()

    async def end(self, store: Store) -> LoggedEvent | None:
        """The event that ends the stream, made from state; None while it goes on."""
        del store
        return None

    def gone(self, seq: int) -> LoggedEvent | None:
        """The end of a stream whose log is no more. None: it is closed without a word."""
        del seq
        return None


class WatchedSession(Watched):
    """A session, from the start of its log."""

    last_kinds = frozenset({"session.ended"})

    def __init__(self, session: SessionKeys) -> None:
        url = f"{_url(session.workspace)}/sessions/{session.id}"
        super().__init__(session, url, session=session.id)

    async def end(self, store: Store) -> LoggedEvent | None:
        seq, state = await read_head(store, self.log)
        return _session_ended(self.session, seq) if state == "ended" else None

    def gone(self, seq: int) -> LoggedEvent:
        return _session_ended(self.session, seq, deleted=True)


class WatchedTurn(Watched):
    """One turn. Its record outlives its session, and so does its stream."""

    last_kinds = TERMINAL

    def __init__(self, session: SessionKeys, turn: str) -> None:
        url = f"{_url(session.workspace)}/turns/{turn}"
        super().__init__(session, url, session=session.id, turn=turn)
        self._workspace = session.workspace.id
        self._head = turn_head(session.id, turn)

    def shows(self, event: LoggedEvent) -> bool:
        return event.data.startswith(self._head)

    async def newest(self, store: Store) -> int:
        try:
            return await super().newest(store)
        except NotFound:
            return 0

    async def opening(self, store: Store) -> Opening:
        del store
        return Opening()

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
        super().__init__(workspace, where)
        self._workspace = workspace
        self._root = root
        self._told: frozenset[str] = frozenset()

    def shows(self, event: LoggedEvent) -> bool:
        facts = decode_json(event.data, _Facts)
        if self._root and facts.root != self._root:
            return False
        return event.kind != "approval.requested" or facts.approval not in self._told

    async def opening(self, store: Store) -> Opening:
        # In this order: what is asked in between is among the open ones or comes as an event, and
        # if it is both, `shows` hides the second.
        after = await self.newest(store)
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
        return Opening(after, tuple(told))


def _session_ended(session: str, seq: int, **data: Any) -> LoggedEvent:
    event = Span(session).event("session.ended", **data, seq=seq, at_ms=wall_ms())
    return LoggedEvent(seq, event.kind, event.body)


def _url(workspace: WorkspaceKeys) -> str:
    return f"/v1/workspaces/{workspace.id}"
