"""Which events of a tree's log are of sessions below one session, or below one turn of it."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from bursar.events import LoggedEvent
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store

__all__ = ["Below"]


class _Link(NamedTuple):
    parent: str
    turn: str


class Below:
    """Says so of sessions that it has learnt of; of a whole tree it need not learn anything.

    Args:
        turn: only what this turn of the session has spawned and waits for, and what is below that.
            A session that was deleted is below no turn, and below its root only.

    """

    def __init__(self, session: SessionKeys, turn: str = "") -> None:
        self._top = session
        self._turn = turn
        self._all = not turn and session.id == session.root
        self._known: dict[str, bool] = {session.id: False}

    def has(self, event: LoggedEvent) -> bool:
        return self._all or self._known[event.session]

    def unknown(self, events: Iterable[LoggedEvent]) -> set[str]:
        """Sessions of these events that have to be learnt of before `has` is asked."""
        if self._all:
            return set()
        return {sid for event in events if (sid := event.session) not in self._known}

    async def learn(self, store: Store, sids: set[str]) -> None:
        """Read where sessions hang, and those between them and the top."""
        links: dict[str, _Link] = {}
        asked = sids
        while asked:
            found = await asyncio.gather(*(self._link(store, sid) for sid in asked))
            links |= dict(zip(asked, found, strict=True))
            asked = {link.parent for link in found} - links.keys() - self._known.keys() - {""}
        for sid in links:
            self._known[sid] = self._is_below(sid, links)

    async def _link(self, store: Store, sid: str) -> _Link:
        key = self._top.workspace.session(sid).hash
        return _Link(*map(text, await store.redis.call("HMGET", key, "parent", "parent_turn")))

    def _is_below(self, sid: str, links: dict[str, _Link]) -> bool:
        """Whether the way up from a session comes to the top, by the turn if there is one."""
        while sid in links and sid not in self._known:
            link = links[sid]
            if link.parent == self._top.id:
                return not self._turn or link.turn == self._turn
            if self._turn and not link.turn:
                return False  # Nobody above waits for it.
            sid = link.parent
        return self._known.get(sid, False)
