"""The ledger: one entry per end of a hold and per change of an account."""

import re
from collections.abc import AsyncGenerator
from typing import Any

from bursar.errors import InvalidInput
from bursar.store.codec import text, text_list
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.ledger import entry_id
from bursar.store.store import Store

__all__ = ["LedgerEntry", "account_names", "check_entry", "read_ledger", "walk_ledger"]

LedgerEntry = dict[str, str]
"""The fields as they are stored, and ``entry``, the id of the entry itself."""

_ENTRY = re.compile(r"\d{1,15}-\d{1,15}")
_AT_ONCE = 1000


async def read_ledger(store: Store, workspace: str, *, limit: int = 100) -> list[LedgerEntry]:
    """The newest ledger entries, newest first."""
    ws = store.workspace(workspace)
    entries = await store.redis.call("XREVRANGE", ws.ledger, "+", "-", "COUNT", limit)
    return [_entry(*entry) for entry in entries]


async def walk_ledger(
    store: Store,
    workspace: str,
    *,
    after: str = "",
    since_ms: int = 0,
    before: str = "",
    at_once: int = _AT_ONCE,
) -> AsyncGenerator[list[LedgerEntry]]:
    """Entries page by page, oldest first; between pages others have their turn.

    What is written while this goes on is read, too, unless ``before`` ends it.

    Args:
        after: start with what follows this entry; it need not be there any more.
        since_ms: start with what was written at this moment or later, if that is further on.
        before: end before this entry.

    """
    ws = store.workspace(workspace)
    start = f"({after}" if after and entry_id(after)[0] >= since_ms else str(since_ms)
    end = f"({before}" if before else "+"
    while True:
        found = await store.redis.call("XRANGE", ws.ledger, start, end, "COUNT", at_once)
        if found:
            yield [_entry(*entry) for entry in found]
        if len(found) < at_once:
            return
        start = f"({text(found[-1][0])}"


def _entry(entry_id: Any, fields: dict[bytes, bytes]) -> LedgerEntry:
    return {"entry": text(entry_id)} | {text(field): text(fields[field]) for field in fields}


def check_entry(entry: str, field: str) -> str:
    """The id of an entry as it comes from outside."""
    if not _ENTRY.fullmatch(entry):
        raise InvalidInput(
            "expected the id of a ledger entry, such as 1700000000000-0", field=field
        )
    return entry


async def account_names(store: Store, ws: WorkspaceKeys) -> list[str]:
    """All accounts of a workspace that there are now."""
    users = store.redis.call("SMEMBERS", ws.users)
    # In one reply: the order changes with every activity, so pages of it would miss some.
    sessions = text_list(await store.redis.call("ZRANGE", ws.sessions, 0, -1))
    named = [f"user:{user}" for user in sorted(text_list(await users))]
    return ["ws", *named, *(f"s:{sid}" for sid in sessions)]
