"""Listing audit entries for people and programs, page by page, by what they are about."""

from typing import Any

import msgspec

from bursar.audit.entries import Decision
from bursar.audit.reading import Stored, read_entries
from bursar.store.codec import decode_json
from bursar.store.scripts.audit import AuditLog
from bursar.store.store import Store

__all__ = ["AuditEntry", "AuditPage", "Filter", "read_page", "readable"]

_AT_ONCE = 1000


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as people and programs read it; the fields are those of `entries.Record`."""

    seq: int
    at_ms: int
    workspace: str
    actor: str
    action: str
    decision: Decision
    proof: str = "system"
    proof_id: str = ""
    session: str = ""
    turn: str = ""
    arguments_sha256: str = ""
    cost_microusd: int = 0
    outcome: str = ""
    reason: str = ""
    details: dict[str, Any] = {}


class Filter(msgspec.Struct, frozen=True):
    """Which entries are wanted; an empty field takes all. ``action`` may end in ``*``."""

    session: str = ""
    action: str = ""
    decision: str = ""

    def takes(self, entry: AuditEntry) -> bool:
        if self.action.endswith("*"):
            fits = entry.action.startswith(self.action[:-1])
        else:
            fits = self.action in {"", entry.action}
        return (
            fits and self.session in {"", entry.session} and self.decision in {"", entry.decision}
        )


class AuditPage(msgspec.Struct, frozen=True):
    """Entries, and the number of the last one that was looked at, to go on from.

    ``more`` says that there are further ones in that direction.
    """

    entries: list[AuditEntry]
    seen_seq: int
    more: bool


async def read_page(
    store: Store,
    log: AuditLog,
    wanted: Filter,
    *,
    after: int | None = None,
    before: int | None = None,
    limit: int,
    look_at: int = 10_000,
) -> AuditPage:
    """Entries behind ``after``, oldest first; or those before ``before``, newest first.

    Without either, the newest ones.

    Args:
        look_at: so many are looked at, however few of them are wanted.

    """
    found: list[AuditEntry] = []
    seen, looked = after if after is not None else (before or 0), 0
    forwards = after is not None
    while len(found) < limit and looked < look_at:
        count = min(_AT_ONCE, limit if wanted == Filter() else look_at - looked)
        page = await _page(store, log, forwards=forwards, seen=seen, count=count)
        for stored in page:
            seen, looked = stored.seq, looked + 1
            entry = readable(log.workspace, stored)
            if wanted.takes(entry):
                found.append(entry)
                if len(found) == limit:
                    return AuditPage(found, seen, more=True)
        if len(page) < count:
            return AuditPage(found, seen, more=False)
    return AuditPage(found, seen, more=True)


async def _page(
    store: Store, log: AuditLog, *, forwards: bool, seen: int, count: int
) -> list[Stored]:
    if forwards:
        return await read_entries(
            store, "XRANGE", log.entries, f"{seen + 1}-0", "+", "COUNT", count
        )
    end = f"({seen}-0" if seen else "+"
    return await read_entries(store, "XREVRANGE", log.entries, end, "-", "COUNT", count)


def readable(workspace: str, stored: Stored) -> AuditEntry:
    """An entry's content; of one that cannot be read, that it cannot."""
    try:
        entry = decode_json(stored.body, AuditEntry)
    except (msgspec.MsgspecError, UnicodeError):
        return AuditEntry(
            seq=stored.seq,
            at_ms=0,
            workspace=workspace,
            actor="",
            action="",
            decision="done",
            reason="this is no entry; verify the log",
        )
    return msgspec.structs.replace(entry, seq=stored.seq)
