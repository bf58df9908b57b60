"""Typed calls about drafts: histories that are put together before their session is made.

A draft is a list that nobody looks at. `open_session` makes it a session's history in the script
that makes the session, so there never is a session with half a history. One that a crash leaves
behind goes by itself.
"""

from collections.abc import Sequence

from bursar.ids import new_id
from bursar.store.codec import text
from bursar.store.keys import SessionKeys, WorkspaceKeys
from bursar.store.scripts.loader import Script
from bursar.store.scripts.sessions import Idempotency
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = ["DRAFT_TTL_MS", "PIECE_BYTES", "PIECE_MESSAGES", "Draft", "check_free", "first_session"]

PIECE_MESSAGES, PIECE_BYTES = 256, 1024 * 1024
"""What one script moves, but for a single message that is longer: some milliseconds of Redis."""
DRAFT_TTL_MS = 600_000
"""After its last piece; the next one takes milliseconds, unless whoever wrote it died."""

_COPY = Script("draft_copy")
_ADD = Script("draft_add")


class Draft:
    """A history that grows from the front, piece by piece. A piece that is sent again adds nothing.

    Raises:
        Conflict: from both methods that add: it went because that took too long.

    """

    def __init__(self, store: Store, ws: WorkspaceKeys) -> None:
        self._store = store
        self.key = ws.draft(new_id("drf"))
        self.length = 0

    async def copy(self, source: SessionKeys, *, created_ms: str, length: int) -> None:
        """Copy the first ``length`` messages of a session, which may go on meanwhile.

        Args:
            created_ms: of that session, so that no other one under its id is taken for it.

        """
        keys = [source.hash, source.messages, self.key]
        while self.length < length:
            stop = min(self.length + PIECE_MESSAGES, length)
            args = [created_ms, self.length, stop, PIECE_BYTES, DRAFT_TTL_MS]
            self._grown(await self._store.run(_COPY, keys, args), at_most=stop)

    async def add(self, messages: Sequence[bytes]) -> None:
        """Add a piece of messages as they are stored."""
        args = [self.length, DRAFT_TTL_MS, *messages]
        reply = await self._store.run(_ADD, [self.key], args)
        self._grown(reply, at_most=self.length + len(messages))

    async def drop(self) -> None:
        """Throw it away, if no session has it."""
        if self.length:
            await self._store.redis.call("DEL", self.key)

    def _grown(self, reply: Sequence[object], *, at_most: int) -> None:
        if text(reply[0]) != "ok":
            raise_for(reply)
        length = int(text(reply[1]))
        if not self.length < length <= at_most:
            raise_for(["no_draft"])
        self.length = length


async def first_session(store: Store, ws: WorkspaceKeys, idempotency: Idempotency) -> str:
    """The session that this Idempotency-Key made already; empty if there is none.

    Raises:
        Conflict: it was sent with another request.

    """
    if not idempotency.fingerprint:
        return ""
    key = idempotency.redis_key(ws)
    fingerprint, sid = await store.redis.call("HMGET", key, "fingerprint", "id")
    if fingerprint is not None and text(fingerprint) != idempotency.fingerprint:
        raise_for(["idem_conflict"])
    return text(sid)


async def check_free(store: Store, session: SessionKeys) -> None:
    """Refuse an id that is taken before a history is put together for it; `open_session` does, too.

    Raises:
        Conflict: a session with this id exists.

    """
    if await store.redis.call("EXISTS", session.hash):
        raise_for(["exists"])
