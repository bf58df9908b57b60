"""Lists of sessions by activity, with filters and a cursor."""

import msgspec

from bursar.errors import InvalidInput
from bursar.ids import check_user, check_workspace
from bursar.registry import redis_ms
from bursar.sessions import SessionView, view
from bursar.store.codec import scored
from bursar.store.keys import STATES, root_of
from bursar.store.store import Store

__all__ = ["SessionPage", "index_page", "list_sessions"]

_PAGE_MAX = 200
_SKIMMED = 1000  # ids a round where most of them are left out unread
_ROUNDS_MAX = 10  # bounds one request when filters leave little of each page


class SessionPage(msgspec.Struct, frozen=True):
    """``cursor`` continues the list; empty at its end."""

    sessions: list[SessionView]
    cursor: str = ""


async def list_sessions(
    store: Store,
    workspace: str,
    *,
    user: str = "",
    state: str = "",
    workspace_path: str = "",
    roots: bool = False,
    cursor: str = "",
    limit: int = 50,
) -> SessionPage:
    """Sessions by activity, newest first.

    The narrowest index that fits is walked, and the other filters are applied to what it holds, so
    a page may be shorter than ``limit`` although ``cursor`` says that there is more.

    Args:
        roots: leave out sessions below others, of which a job has thousands.

    """
    ws = store.workspace(check_workspace(workspace))
    if not 1 <= limit <= _PAGE_MAX:
        raise InvalidInput(f"expected an integer from 1 to {_PAGE_MAX}", field="limit")
    if state and state not in STATES:
        raise InvalidInput(f"expected one of {', '.join(STATES)}", field="state")
    index = ws.sessions
    if user:
        index = ws.sessions_of_user(check_user(user))
    elif workspace_path:
        index = ws.sessions_at_path(workspace_path)
    elif state:
        index = ws.sessions_in_state(state)
    wanted = {"user": user, "state": state, "workspace_path": workspace_path}
    filters = {field: value for field, value in wanted.items() if value}
    found: list[SessionView] = []
    position = _parse_cursor(cursor)
    step = _SKIMMED if roots else limit
    for _ in range(_ROUNDS_MAX):
        members = await _members(store, index, position, step + 1)
        for sid, score in members[:step]:
            if len(found) == limit:
                return SessionPage(found, _cursor(position))
            position = (score, sid)
            if roots and root_of(sid) != sid:
                continue
            session = await _try_get(store, workspace, sid)
            if session and all(
                getattr(session, field) == value for field, value in filters.items()
            ):
                found.append(session)
        if len(members) <= step:
            return SessionPage(found)
        if len(found) == limit:
            break
    return SessionPage(found, _cursor(position))


async def index_page(store: Store, index: str, *, cursor: str, limit: int) -> tuple[list[str], str]:
    """One page of ids of an index by time, newest first, and the cursor behind it."""
    members = await _members(store, index, _parse_cursor(cursor), limit + 1)
    page = members[:limit]
    last = (page[-1][1], page[-1][0]) if len(members) > limit else None
    return [member for member, _ in page], _cursor(last)


async def _members(
    store: Store, index: str, after: tuple[int, str] | None, count: int
) -> list[tuple[str, int]]:
    """Members below ``after``. Redis orders equal scores by member, here from high to low."""
    highest = "+inf" if after is None else str(after[0])
    found: list[tuple[str, int]] = []
    offset = 0
    while len(found) < count:
        batch = await store.redis.call(
            "ZREVRANGEBYSCORE", index, highest, "-inf", "WITHSCORES", "LIMIT", offset, count
        )
        if not batch:
            break
        offset += count
        for member, score in scored(batch):
            if after is None or (score, member) < after:
                found.append((member, score))
    return found[:count]


async def _try_get(store: Store, workspace: str, sid: str) -> SessionView | None:
    """None for a session that was deleted while the list was walked."""
    session = store.workspace(workspace).session(sid)
    fields = store.redis.call("HGETALL", session.hash)
    custom = store.redis.call("HGET", session.text, "custom")
    now = await redis_ms(store)
    found = await fields
    return view(workspace, found, await custom, now) if found else None


def _cursor(position: tuple[int, str] | None) -> str:
    return f"{position[0]}-{position[1]}" if position else ""


def _parse_cursor(cursor: str) -> tuple[int, str] | None:
    if not cursor:
        return None
    score, _, sid = cursor.partition("-")
    if not score.isdecimal() or not sid:
        raise InvalidInput("expected a cursor from an earlier page", field="cursor")
    return int(score), sid
