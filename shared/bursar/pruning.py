"""Deleting a session with all that is below it, in pieces that hold nothing up."""

import asyncio

from bursar import sessions
from bursar.audit.entries import SYSTEM
from bursar.errors import Conflict, NotFound
from bursar.sessions import locate
from bursar.store.codec import text, text_list
from bursar.store.keys import SessionKeys
from bursar.store.store import Store
from bursar.trees import descendants

__all__ = ["delete_tree"]

_AT_ONCE = 50
_RESTS = {"idle", "ended"}


async def delete_tree(store: Store, workspace: str, sid: str, *, actor: str = SYSTEM) -> int:
    """Delete a session with all that is below it, and return how many sessions that were.

    It may be repeated: a caller that died left a smaller tree behind. The session goes last.

    Raises:
        Conflict: something of it is at work, or still holds money; as far as that was known before,
            nothing is deleted then.

    """
    session = locate(store, workspace, sid)
    members = text_list(await store.redis.call("ZRANGE", session.members, 0, -1))
    below = members if session.root == sid else await _descendants(store, session, members)
    await _require_rest(store, session, below)
    for start in range(0, len(below), _AT_ONCE):
        part = below[start : start + _AT_ONCE]
        await asyncio.gather(*(_delete(store, session, each, actor) for each in part))
    await sessions.delete(store, workspace, sid, actor=actor)
    return len(below) + 1


async def _descendants(store: Store, session: SessionKeys, members: list[str]) -> list[str]:
    """Those of a tree's sessions that are below one of them."""
    keys = [session.workspace.session(each).hash for each in members]
    found = await asyncio.gather(*(store.redis.call("HGET", key, "parent") for key in keys))
    below = descendants(session.id, dict(zip(members, map(text, found), strict=True)))
    return [each for each in members if each in below]


async def _require_rest(store: Store, root: SessionKeys, below: list[str]) -> None:
    alive = set(text_list(await store.redis.call("SMEMBERS", root.live)))
    keys = [root.hash, *(root.workspace.session(each).hash for each in below if each in alive)]
    states = await asyncio.gather(*(store.redis.call("HGET", key, "state") for key in keys))
    if states[0] is None:
        raise NotFound("no such session in this workspace", code="session_not_found")
    if any(state is not None and text(state) not in _RESTS for state in states):
        raise Conflict("it is at work; cancel it first", code="session_busy")


async def _delete(store: Store, root: SessionKeys, sid: str, actor: str) -> None:
    try:
        await sessions.delete(store, root.workspace.id, sid, actor=actor)
    except NotFound:
        # Deleted between the look at the list and now; its place in the list goes in any case.
        await store.redis.call("ZREM", root.members, sid)
