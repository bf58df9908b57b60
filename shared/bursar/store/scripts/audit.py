"""Typed calls of the scripts about audit logs: of a workspace, or of the installation."""

from collections.abc import Sequence

import msgspec

from bursar.audit.chain import INSTALLATION
from bursar.audit.entries import Record
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = ["AuditLog", "append", "find_lagging", "put_seal", "trim"]

_APPEND = Script("audit_append")
_LAG = Script("audit_lag")
_SEAL = Script("audit_seal")
_TRIM = Script("audit_trim")


class AuditLog(msgspec.Struct, frozen=True):
    """Where a log is. ``workspace`` is ``*`` for that of the installation."""

    workspace: str
    counter: str
    entries: str
    seals: str

    @property
    def recorded_as(self) -> str:
        """Its workspace in records."""
        return "" if self.workspace == INSTALLATION else self.workspace

    @classmethod
    def of(cls, store: Store, workspace: str) -> "AuditLog":
        if workspace == INSTALLATION:
            return cls(workspace, GlobalKeys.install, GlobalKeys.audit, GlobalKeys.audit_seals)
        ws = store.workspace(workspace)
        return cls(workspace, ws.hash, ws.audit, ws.audit_seals)


async def append(store: Store, log: AuditLog, record: Record) -> int:
    """Record what no other script does; returns the entry's number.

    Raises:
        NotFound: no such workspace.

    """
    reply = await store.run(_APPEND, [log.counter, log.entries], [record.body])
    if reply[0] != "ok":
        raise_for(reply)
    return int(reply[1])


async def find_lagging(store: Store, counters: Sequence[str]) -> list[tuple[int, int, int]]:
    """Logs of one shard that want sealing: their place, newest entry and last sealed one."""
    _, *found = await store.run(_LAG, counters, [])
    return [
        (int(found[at]) - 1, int(found[at + 1]), int(found[at + 2]))
        for at in range(0, len(found), 3)
    ]


async def put_seal(
    store: Store, log: AuditLog, *, sealed_before: int, to_seq: int, seal: bytes
) -> bool:
    """Add a seal behind that of entry ``sealed_before``; False if that is not the last one.

    Raises:
        Conflict: the log's counter does not know such an entry (``audit_differs``).

    """
    keys = [log.counter, log.seals]
    reply = await store.run(_SEAL, keys, [sealed_before, to_seq, seal])
    if reply[0] not in {"ok", "moved"}:
        raise_for(reply)
    return bool(reply[0] == "ok")


async def trim(store: Store, log: AuditLog, to_seq: int, record: Record) -> int:
    """Drop entries up to one; returns how many those were.

    Args:
        record: says so in the log.

    Raises:
        Conflict: no seal ends with that entry (``no_seal``), it is not sealed or not exported yet
            (``not_sealed``, ``not_exported``), or it is gone (``already_trimmed``).

    """
    keys = [log.counter, log.entries, log.seals]
    reply = await store.run(_TRIM, keys, [to_seq, record.body])
    if reply[0] != "ok":
        raise_for(reply)
    return int(reply[1])
