"""Session trees: who is below whom, and what of it is alive."""

import asyncio
from collections.abc import Iterable, Mapping

import msgspec

from bursar.store.codec import text, text_list
from bursar.store.keys import SessionKeys
from bursar.store.scripts.above import Above
from bursar.store.store import Store

__all__ = ["above", "descendants", "opened_below", "spawned_below"]


class _Place(msgspec.Struct, frozen=True):
    """Where a session hangs. ``spawned`` says that a turn waits for its end."""

    parent: str
    spawned: bool
    by_hand: bool


async def above(store: Store, session: SessionKeys) -> Above:
    """Return the turn that spawned a session and waits for its end."""
    if session.root == session.id:
        return Above()
    fields = ("parent", "parent_turn", "join")
    return Above.of(*map(text, await store.redis.call("HMGET", session.hash, *fields)))


def descendants(top: str, parents: Mapping[str, str]) -> set[str]:
    """Return those that are below a session; ``parents`` has for each that may be whose it is."""
    children: dict[str, list[str]] = {}
    for sid, parent in parents.items():
        children.setdefault(parent, []).append(sid)
    found: set[str] = set()
    row = [top]
    while row:
        row = [child for sid in row for child in children.get(sid, ())]
        found.update(row)
    return found


async def spawned_below(store: Store, session: SessionKeys) -> list[SessionKeys]:
    """Return what turns of a session, and theirs, have spawned and not detached, and is alive."""
    places = await _places(store, session)
    found, above_ids = [], {session.id}
    while above_ids:
        above_ids = {
            sid for sid, place in places.items() if place.spawned and place.parent in above_ids
        }
        found += [session.workspace.session(sid) for sid in sorted(above_ids)]
    return found


async def opened_below(store: Store, session: SessionKeys) -> list[SessionKeys]:
    """Return the sessions that were opened by hand right below one, and are alive."""
    places = await _places(store, session)
    below = (sid for sid, each in places.items() if each.by_hand and each.parent == session.id)
    return [session.workspace.session(sid) for sid in sorted(below)]


async def _places(store: Store, session: SessionKeys) -> dict[str, _Place]:
    sids = text_list(await store.redis.call("SMEMBERS", session.live))
    keys = [session.workspace.session(sid).hash for sid in sids]
    calls = (store.redis.call("HMGET", key, "parent", "parent_turn", "deadline_ms") for key in keys)
    return dict(_placed(sids, await asyncio.gather(*calls)))


def _placed(sids: list[str], records: list[list[bytes | None]]) -> Iterable[tuple[str, _Place]]:
    for sid, (parent, turn, deadline) in zip(sids, records, strict=True):
        if parent is not None:
            yield sid, _Place(text(parent), spawned=bool(turn), by_hand=deadline is None)
