"""Trimming: what was exported may go. The seal that it ended with stays, and an entry says so."""

import msgspec

from bursar.audit.entries import Record
from bursar.audit.reading import as_seal, last_seal, read_seals, read_state
from bursar.audit.seals import Seal
from bursar.errors import Conflict
from bursar.store.scripts.audit import AuditLog, trim
from bursar.store.store import Store

__all__ = ["TrimmedAudit", "trim_log"]

_MAX = 20_000


class TrimmedAudit(msgspec.Struct, frozen=True):
    """How many entries were dropped, the last one of them, and whether there is more to drop."""

    entries: int
    trimmed_seq: int
    more: bool


async def trim_log(
    store: Store, log: AuditLog, to_seq: int, head: str, *, actor: str, at_most: int = _MAX
) -> TrimmedAudit:
    """Drop entries up to one that a seal ends with, for good.

    Args:
        head: the chain's head there, which whoever has the export knows.
        at_most: so many at once, unless a seal is for more.

    Raises:
        Conflict: no seal ends there (``no_seal``), it has another head (``other_head``), or the log
            is not sealed or not exported so far (``not_sealed``, ``not_exported``).

    """
    stored = await last_seal(store, log, until=to_seq)
    last = as_seal(stored.body) if stored is not None else None
    if last is None or last.to_seq != to_seq:
        raise Conflict(f"no seal ends with entry {to_seq}", code="no_seal")
    if last.head != head:
        raise Conflict("the log has another head there; verify it", code="other_head")
    begins = (await read_state(store, log)).trimmed_seq
    reached = await _step(store, log, begins, to_seq, at_most)
    record = Record(
        workspace=log.recorded_as,
        actor=actor,
        action="audit.trim",
        decision="done",
        details={"to_seq": reached.to_seq, "head": reached.head},
    )
    dropped = await trim(store, log, reached.to_seq, record)
    return TrimmedAudit(dropped, reached.to_seq, more=reached.to_seq < to_seq)


async def _step(store: Store, log: AuditLog, begins: int, to_seq: int, at_most: int) -> Seal:
    """The seal up to which to go at once."""
    stored = await last_seal(store, log, until=min(to_seq, begins + at_most))
    seal = as_seal(stored.body) if stored is not None else None
    if seal is None or seal.to_seq <= begins:
        seals = await read_seals(store, log, after=begins, limit=1)
        seal = seals[0] if seals else None
    if seal is None:
        raise Conflict(f"no seal ends with entry {to_seq}", code="no_seal")
    return seal
