"""Exporting an audit log: as lines (see `bursar.audit.lines`) in the order in which they verify."""

from collections.abc import AsyncIterator

import msgspec

from bursar.audit.chain import genesis, link
from bursar.audit.keyring import KeyRing
from bursar.audit.lines import FORMAT, End, Head, State, item_line
from bursar.audit.reading import AuditState, Stored, as_seal, read_state, walk
from bursar.audit.seals import SealingKey, sign_head
from bursar.errors import Conflict
from bursar.registry import redis_ms
from bursar.store.scripts.audit import AuditLog
from bursar.store.store import Store

__all__ = ["export_log"]


async def export_log(
    store: Store, log: AuditLog, key: SealingKey, known: KeyRing, *, unsealed: bool = False
) -> AsyncIterator[bytes]:
    """The whole log in pieces of several lines.

    When it has come to its end, entries up to the last one in it may be trimmed.

    Args:
        key: signs what the log was.
        known: the public keys that go into the last line, if seals are signed with them.
        unsealed: also what is not sealed yet, to verify the log as it is; allows no trimming.

    Raises:
        Conflict: it was trimmed meanwhile, or is no log (``audit_trimmed``, ``audit_unreadable``).

    """
    state = await read_state(store, log)
    until = None if unsealed else state.sealed_seq
    exporter = _Exporter(log, state)
    yield _line(
        Head(
            FORMAT,
            await redis_ms(store),
            State(
                log.workspace,
                state.audit_seq,
                state.sealed_seq,
                state.trimmed_seq,
                state.published,
            ),
            until,
        )
    )
    seals = _Seals(walk(store, log.seals, until=until))
    async for page in walk(store, log.entries, until=until):
        lines: list[bytes] = []
        for entry in page:
            while (seal := await seals.ending_before(entry.seq)) is not None:
                lines.append(exporter.seal(seal))
            lines.append(exporter.entry(entry))
        yield b"".join(lines)
    while (seal := await seals.ending_before(None)) is not None:
        yield exporter.seal(seal)
    after = await read_state(store, log)
    if after.trimmed_seq != state.trimmed_seq:
        raise Conflict("the log was trimmed meanwhile; export it again", code="audit_trimmed")
    end = sign_head(
        key,
        workspace=log.workspace,
        after_seq=state.trimmed_seq,
        seq=exporter.seq,
        head=exporter.head,
        at_ms=await redis_ms(store),
    )
    yield _line(End(end, after.audit_seq, after.sealed_seq, known.texts([*exporter.kids, key.kid])))
    if not unsealed and exporter.seq > state.exported_seq:
        await store.redis.call("HSET", log.counter, "exported_seq", exporter.seq)


class _Exporter:
    """Computes the chain on the way, over whatever is there."""

    def __init__(self, log: AuditLog, state: AuditState) -> None:
        self.seq = state.trimmed_seq
        self.head = genesis(log.workspace)
        self.kids: dict[str, None] = {}
        self._begins = state.trimmed_seq

    def entry(self, stored: Stored) -> bytes:
        self.seq, self.head = stored.seq, link(self.head, stored.seq, stored.body)
        return item_line("entry", f"{stored.seq}-{stored.part}", stored.body, stored.other)

    def seal(self, stored: Stored) -> bytes:
        seal = as_seal(stored.body)
        if seal is not None:
            self.kids[seal.kid] = None
            if self._begins and stored.seq == self._begins and self.seq == self._begins:
                self.head = _hash(seal.head)
        return item_line("seal", f"{stored.seq}-{stored.part}", stored.body, stored.other)


class _Seals:
    """A log's seals, one after the other, each asked for when its place has come."""

    def __init__(self, pages: AsyncIterator[list[Stored]]) -> None:
        self._pages = pages
        self._page: list[Stored] = []

    async def ending_before(self, seq: int | None) -> Stored | None:
        if not self._page:
            self._page = list(reversed(await anext(self._pages, [])))
        if self._page and (seq is None or self._page[-1].seq < seq):
            return self._page.pop()
        return None


def _hash(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _line(value: msgspec.Struct) -> bytes:
    return msgspec.json.encode(value) + b"\n"
