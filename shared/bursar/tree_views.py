"""Session trees as people and programs read them: who works for whom, how far, and for how much."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import msgspec

from bursar.errors import InvalidInput, NotFound
from bursar.registry import redis_ms
from bursar.sessions import locate
from bursar.store.codec import scored, text, text_list
from bursar.store.keys import SessionKeys
from bursar.store.store import Store
from bursar.trees import descendants

__all__ = ["Purse", "TreeNode", "TreeTotals", "TreeView", "read_tree"]

_LIMIT_MAX = 1000
_IDS_A_READ = 1000
_CALLS_AT_ONCE = 500  # so that a large tree holds up nothing else in the process
_SESSION = (
    "id", "parent", "depth", "agent", "title", "state", "turn", "deadline_ms", "step_count",
    "created_ms", "active_ms",
)  # fmt: skip
_TURN = ("state", "waiting_for", "code", "ended_ms")
_ACCOUNT = ("limit", "posted", "pending")


class Purse(msgspec.Struct, frozen=True):
    """What a session and all below it have spent and hold. ``limit_microusd`` None: no limit."""

    limit_microusd: int | None = None
    posted_microusd: int = 0
    pending_microusd: int = 0


class TreeNode(msgspec.Struct, frozen=True):
    """A session of a tree. Times are Unix milliseconds by Redis's clock.

    ``turn`` is the one that it works on, or the only one that a sub-agent has, also when that has
    ended; the fields from ``turn_state`` to ``code`` are that turn's. ``duration_ms`` counts to the
    end of a sub-agent's turn, else until now.
    """

    id: str
    parent: str
    depth: int
    agent: str
    title: str
    state: str
    turn: str
    turn_state: str
    waiting_for: str
    code: str
    purse: Purse
    steps: int
    created_ms: int
    duration_ms: int


class TreeTotals(msgspec.Struct, frozen=True):
    """Of the session and all below it. ``states`` counts sessions; ``cost_microusd`` was posted."""

    sessions: int
    states: dict[str, int]
    steps: int
    cost_microusd: int
    pending_microusd: int


class TreeView(msgspec.Struct, frozen=True):
    """A session with what is below it, in the order in which they were opened.

    ``purse`` is that of the tree's root, from which all of them spend. ``totals`` comes with the
    first page. ``cursor`` continues the list; empty at its end.
    """

    root: str
    purse: Purse
    nodes: list[TreeNode]
    totals: TreeTotals | None = None
    cursor: str = ""


_Place = tuple[int, str]
"""Where a session stands in its tree: when it was opened, and its id."""
_FIRST: _Place = (-1, "")


class _Member(NamedTuple):
    """What is read of each session of a tree."""

    place: _Place
    parent: str
    state: str
    steps: int

    @property
    def sid(self) -> str:
        return self.place[1]


async def read_tree(
    store: Store,
    workspace: str,
    sid: str,
    *,
    live: bool = False,
    cursor: str = "",
    limit: int = _LIMIT_MAX,
) -> TreeView:
    """Read a session and all below it, a page at a time.

    Args:
        live: only those that have not ended, and the session itself.
        limit: how many sessions a page has, at most 1,000.

    Raises:
        NotFound: there is no such session.
        InvalidInput: a limit or a cursor is none.

    """
    session = locate(store, workspace, sid)
    if not 1 <= limit <= _LIMIT_MAX:
        raise InvalidInput(f"expected an integer from 1 to {_LIMIT_MAX}", field="limit")
    after = _parse_cursor(cursor)
    if cursor and not await store.redis.call("EXISTS", session.hash):
        raise NotFound("no such session in this workspace", code="session_not_found")
    members = [] if cursor else await _members(store, session)
    found = await _page(store, session, members, live=live, after=after, count=limit + 1)
    page, rest = found[:limit], found[limit:]
    sids = dict.fromkeys([session.root, sid, *(sid for _, sid in page)])
    accounts = [session.workspace.session(each).account for each in sids]
    rows = await _gather(store, accounts, _ACCOUNT)
    purses = {each: _purse(row) for each, row in zip(sids, rows, strict=True)}
    return TreeView(
        root=session.root,
        purse=purses[session.root],
        nodes=await _nodes(store, session, page, purses),
        totals=None if cursor else _totals(members, purses[sid]),
        cursor=_cursor(page[-1]) if rest else "",
    )


async def _page(
    store: Store,
    session: SessionKeys,
    members: Sequence[_Member],
    *,
    live: bool,
    after: _Place,
    count: int,
) -> list[_Place]:
    """So many places behind one.

    Args:
        members: all of them, for the first page, which counts them. Later ones need them only of a
            session in the middle, as no list says what is below it.

    """
    if not members and session.id != session.root:
        members = await _members(store, session)
    if members:
        top, *below = members
        listed = [top, *(each for each in below if not live or each.state != "ended")]
        return [each.place for each in listed if each.place > after][:count]
    found: list[_Place] = []
    if live:
        ids = text_list(await store.redis.call("SMEMBERS", session.live))
        scores = await store.redis.call("ZMSCORE", session.members, *ids) if ids else []
        places = [(int(float(text(at))), sid) for sid, at in zip(ids, scores, strict=True) if at]
        return sorted(place for place in places if place > after)[:count]
    async for part in _places(store, session, after):
        found += part
        if len(found) >= count:
            break
    return found[:count]


async def _places(
    store: Store, session: SessionKeys, after: _Place = _FIRST
) -> AsyncIterator[list[_Place]]:
    """Where the sessions below a root stand, by the time they were opened, in parts."""
    count = _IDS_A_READ
    while True:
        batch = await store.redis.call(
            "ZRANGE", session.members, max(0, after[0]), "+inf",
            "BYSCORE", "LIMIT", 0, count, "WITHSCORES",
        )  # fmt: skip
        places = [(score, sid) for sid, score in scored(batch)]
        found = [place for place in places if place > after and place[1] != session.id]
        if found:
            yield found
            after, count = found[-1], _IDS_A_READ
        elif len(places) < count:
            return
        else:
            count *= 2  # that many were opened in one millisecond


async def _members(store: Store, session: SessionKeys) -> list[_Member]:
    """The session itself, and all below it by the time they were opened."""
    places: list[_Place] = [(0, session.id)]
    async for part in _places(store, session):
        places += part
    keys = [session.workspace.session(sid).hash for _, sid in places]
    rows = await _gather(store, keys, ("parent", "state", "step_count"))
    members = [
        _Member(place, text(parent), text(state), int(steps))
        for place, (parent, state, steps) in zip(places, rows, strict=True)
        if state is not None
    ]
    if not members or members[0].sid != session.id:
        raise NotFound("no such session in this workspace", code="session_not_found")
    if session.id == session.root:
        return members
    below = descendants(session.id, {each.sid: each.parent for each in members[1:]})
    return [members[0], *(each for each in members[1:] if each.sid in below)]


async def _nodes(
    store: Store, session: SessionKeys, page: Sequence[_Place], purses: dict[str, Purse]
) -> list[TreeNode]:
    ws = session.workspace
    now = await redis_ms(store)
    rows = await _gather(store, [ws.session(sid).hash for _, sid in page], _SESSION)
    read: list[dict[str, str]] = [dict(zip(_SESSION, map(text, row), strict=True)) for row in rows]
    facts = [each for each in read if each["id"]]
    turns = await _gather(store, [ws.turn(_turn_of(each) or "-") for each in facts], _TURN)
    return [
        _node(each, dict(zip(_TURN, map(text, row), strict=True)), purses[each["id"]], now)
        for each, row in zip(facts, turns, strict=True)
    ]


def _node(fields: dict[str, str], turn: dict[str, str], purse: Purse, now_ms: int) -> TreeNode:
    until_ms = now_ms
    if fields["state"] == "ended":
        until_ms = int(turn["ended_ms"] or fields["active_ms"])
    return TreeNode(
        id=fields["id"],
        parent=fields["parent"],
        depth=int(fields["depth"]),
        agent=fields["agent"],
        title=fields["title"],
        state=fields["state"],
        turn=_turn_of(fields),
        turn_state=turn["state"],
        waiting_for=turn["waiting_for"] if turn["state"] == "waiting" else "",
        code=turn["code"],
        purse=purse,
        steps=int(fields["step_count"]),
        created_ms=int(fields["created_ms"]),
        duration_ms=max(0, until_ms - int(fields["created_ms"])),
    )


def _turn_of(fields: dict[str, str]) -> str:
    """A sub-agent has one turn, named as it is; other sessions the one that is under way."""
    if fields["deadline_ms"]:
        return f"trn_{fields['id'].rpartition('~')[2]}"
    return fields["turn"]


def _totals(members: Sequence[_Member], purse: Purse) -> TreeTotals:
    return TreeTotals(
        sessions=len(members),
        states=dict(sorted(Counter(each.state for each in members).items())),
        steps=sum(each.steps for each in members),
        cost_microusd=purse.posted_microusd,
        pending_microusd=purse.pending_microusd,
    )


def _purse(row: Sequence[Any]) -> Purse:
    limit, posted, pending = map(text, row)
    return Purse(
        None if limit in {"", "unlimited"} else int(limit), int(posted or 0), int(pending or 0)
    )


async def _gather(store: Store, keys: Sequence[str], fields: Sequence[str]) -> list[Any]:
    """Fields of many hashes; each batch is one pipeline."""
    rows: list[Any] = []
    for start in range(0, len(keys), _CALLS_AT_ONCE):
        part = keys[start : start + _CALLS_AT_ONCE]
        rows += await asyncio.gather(*(store.redis.call("HMGET", key, *fields) for key in part))
    return rows


def _cursor(place: _Place) -> str:
    return f"{place[0]}-{place[1]}"


def _parse_cursor(cursor: str) -> _Place:
    if not cursor:
        return _FIRST
    created, _, sid = cursor.partition("-")
    if not (created.isascii() and created.isdecimal() and len(created) < 20 and sid):
        raise InvalidInput("expected the cursor of another page", field="cursor")
    return (int(created), sid)
