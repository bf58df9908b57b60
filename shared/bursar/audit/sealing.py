"""Sealing: what was appended since the last seal is linked to it, signed, and its head published.

Several sealers may work at once; the script that adds a seal lets one of them through. Nothing that
looks changed is sealed: a signature under it would say that it is as it was written.
"""

import logging
from collections.abc import Sequence

import msgspec

from bursar.audit.chain import INSTALLATION, genesis, join_marks, link, mark
from bursar.audit.entries import Record
from bursar.audit.keyring import KeyRing
from bursar.audit.reading import Stored, as_seal, last_seal, read_entries, read_state
from bursar.audit.seals import Seal, SealingKey, is_signed, sign
from bursar.errors import Conflict
from bursar.store.codec import decode_json
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.audit import AuditLog, append, put_seal
from bursar.store.store import Store

__all__ = ["MAX_ENTRIES", "Accepted", "Sealed", "accept_head", "seal_log"]

logger = logging.getLogger(__name__)

MAX_ENTRIES = 1000
"""Entries under one seal, at most."""


class Sealed(msgspec.Struct, frozen=True):
    """How far a log is sealed now; ``problem`` says what keeps it from going on."""

    to_seq: int
    entries: int = 0
    problem: str = ""


class Accepted(msgspec.Struct, frozen=True):
    """The head that was published of a log, and the one that the log has and that is now."""

    published_seq: int
    published_head: str
    seq: int
    head: str


class _Number(msgspec.Struct, frozen=True):
    seq: int


async def seal_log(
    store: Store, log: AuditLog, key: SealingKey, known: KeyRing, *, now_ms: int
) -> Sealed:
    """Seal and publish what is not, in as many seals as it takes.

    Args:
        known: the public keys under which the last seal is believed.
        now_ms: Redis time, which goes into the seals.

    """
    try:
        last = await _last(store, log, known)
        entries = 0
        while page := await _unsealed(store, log, last):
            seal = _sealed(log, last, page, key, now_ms)
            if not await put_seal(
                store,
                log,
                sealed_before=last.to_seq if last else 0,
                to_seq=seal.to_seq,
                seal=msgspec.json.encode(seal),
            ):
                return Sealed(seal.to_seq)  # Another sealer was faster, and goes on.
            last, entries = seal, entries + seal.count
            await _publish(store, log, seal)
        if last is not None:
            await _publish(store, log, last)
    except Conflict as problem:
        return Sealed((await read_state(store, log)).sealed_seq, problem=problem.message)
    return Sealed(last.to_seq if last else 0, entries)


async def _last(store: Store, log: AuditLog, known: KeyRing) -> Seal | None:
    """The seal that the next one follows."""
    state = await read_state(store, log)
    stored = await last_seal(store, log)
    if stored is None and state.sealed_seq == 0:
        return None
    seal = as_seal(stored.body) if stored and stored.plain else None
    if seal is None or stored is None or not stored.seq == seal.to_seq == state.sealed_seq:
        raise _problem(f"the seal of entry {state.sealed_seq} is missing or changed")
    if seal.workspace != log.workspace or not is_signed(seal, known):
        raise _problem(f"the seal of entry {seal.to_seq} is not signed with a key of ours")
    return seal


async def _unsealed(store: Store, log: AuditLog, last: Seal | None) -> list[Stored]:
    """The entries that the next seal is for, none of which may be out of order."""
    first = last.to_seq + 1 if last else 1
    page = await read_entries(store, "XRANGE", log.entries, f"{first}-0", "+", "COUNT", MAX_ENTRIES)
    for seq, stored in enumerate(page, first):
        if stored.seq != seq:
            raise _problem(f"entry {seq} is missing")
        if not stored.plain or _number_in(stored.body) != seq:
            raise _problem(f"entry {seq} is not as it was written")
    return page


def _number_in(body: bytes) -> int:
    try:
        return decode_json(body, _Number).seq
    except (msgspec.MsgspecError, UnicodeError):
        return 0


def _sealed(
    log: AuditLog, last: Seal | None, page: Sequence[Stored], key: SealingKey, now_ms: int
) -> Seal:
    previous = bytes.fromhex(last.head) if last else genesis(log.workspace)
    head = previous
    for stored in page:
        head = link(head, stored.seq, stored.body)
    return sign(
        key,
        workspace=log.workspace,
        from_seq=page[0].seq,
        to_seq=page[-1].seq,
        previous=previous,
        head=head,
        marks=join_marks(mark(stored.seq, stored.body) for stored in page),
        at_ms=now_ms,
    )


async def _publish(store: Store, log: AuditLog, seal: Seal) -> None:
    """Put a seal where the newest one of each log is kept, unless the one there contradicts it.

    A log that was cut or rolled back ends before what was published of it, or has another head
    there. That stays to be seen until somebody accepts it.
    """
    state = await read_state(store, log)
    published = state.published
    if published == seal and state.published_seq == seal.to_seq:
        return
    if published is not None and seal.to_seq < published.to_seq <= state.sealed_seq:
        return  # Another sealer was faster, and looked at this.
    if published is None and state.published_seq:
        raise _problem(f"the published head of entry {state.published_seq} is gone")
    if published is not None and not await _holds(store, log, published, seal):
        raise _problem(f"entry {published.to_seq} was published with another head than the log has")
    await _write_published(store, log, seal)


async def _holds(store: Store, log: AuditLog, published: Seal, seal: Seal) -> bool:
    if published.to_seq >= seal.to_seq:
        return published == seal
    if seal.from_seq == published.to_seq + 1:
        return seal.previous == published.head
    stored = await last_seal(store, log, until=published.to_seq)
    return stored is not None and as_seal(stored.body) == published


async def _write_published(store: Store, log: AuditLog, seal: Seal) -> None:
    encoded = msgspec.json.encode(seal)
    await store.redis.call("HSET", GlobalKeys.audit_heads, log.workspace, encoded)
    await store.redis.call("HSET", log.counter, "published_seq", seal.to_seq)


async def accept_head(
    store: Store, log: AuditLog, known: KeyRing, *, actor: str, reason: str
) -> Accepted:
    """Publish the head that a log has, whatever was published before.

    The installation's log says so first, with both heads.

    Raises:
        Conflict: nothing contradicts it (``audit_agrees``), or its last seal is not in order either
            (``audit_differs``).

    """
    state = await read_state(store, log)
    last = await _last(store, log, known)
    if state.published == last:
        raise Conflict("the published head is the log's", code="audit_agrees")
    published = state.published
    accepted = Accepted(
        published_seq=published.to_seq if published else 0,
        published_head=published.head if published else "",
        seq=last.to_seq if last else 0,
        head=last.head if last else "",
    )
    record = Record(
        workspace=log.recorded_as,
        actor=actor,
        action="audit.accept",
        decision="done",
        reason=reason,
        details={"log": log.workspace, **msgspec.structs.asdict(accepted)},
    )
    await append(store, AuditLog.of(store, INSTALLATION), record)
    if last is None:
        await store.redis.call("HDEL", GlobalKeys.audit_heads, log.workspace)
        await store.redis.call("HSET", log.counter, "published_seq", 0)
    else:
        await _write_published(store, log, last)
    return accepted


def _problem(message: str) -> Conflict:
    return Conflict(message, code="audit_differs")
