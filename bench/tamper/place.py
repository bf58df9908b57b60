"""A real audit log, taken out of Redis to be changed at will, and put back."""

import copy
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bursar.audit.seals import Seal
from bursar.store.codec import text
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.audit import AuditLog
from bursar.store.store import Store

__all__ = ["COUNTERS", "Row", "State", "load", "save"]

COUNTERS = ("audit_seq", "sealed_seq", "published_seq", "exported_seq", "trimmed_seq")

Row = tuple[int, int, dict[bytes, bytes]]
"""An entry or a seal: both halves of its id, and its fields."""


@dataclass
class State:
    """All that there is of one log."""

    log: AuditLog
    entries: list[Row]
    seals: list[Row]
    counters: dict[str, int]
    published: bytes | None
    keys: dict[bytes, bytes] = field(default_factory=dict)
    """The installation's public keys."""

    def copy(self) -> "State":
        return copy.deepcopy(self)

    def seal(self, at: int) -> Seal:
        return msgspec.json.decode(self.seals[at][2][b"d"], type=Seal)

    def sealed(self) -> int:
        """How many of the entries have a seal."""
        begins = self.entries[0][0]
        return self.counters["sealed_seq"] - begins + 1


async def load(store: Store, log: AuditLog) -> State:
    call = store.redis.call
    numbers = await call("HMGET", log.counter, *COUNTERS)
    return State(
        log,
        [_row(one) for one in await call("XRANGE", log.entries, "-", "+")],
        [_row(one) for one in await call("XRANGE", log.seals, "-", "+")],
        {name: int(number or 0) for name, number in zip(COUNTERS, numbers, strict=True)},
        await call("HGET", GlobalKeys.audit_heads, log.workspace),
        await call("HGETALL", GlobalKeys.signing_keys),
    )


def _row(one: Any) -> Row:
    seq, _, part = text(one[0]).partition("-")
    return int(seq), int(part), dict(one[1])


async def save(store: Store, state: State, before: State) -> None:
    """Write what differs from ``before``, as whoever can write Redis would."""
    call = store.redis.call
    log, sent = state.log, []
    pairs = ((log.entries, state.entries, before.entries), (log.seals, state.seals, before.seals))
    for key, rows, old in pairs:
        if rows != old:
            sent.append(call("DEL", key))
            for seq, part, fields in rows:
                flat: list[Any] = [piece for pair in fields.items() for piece in pair]
                sent.append(call("XADD", key, f"{seq}-{part}", *flat))
    if state.counters != before.counters:
        flat = [piece for pair in state.counters.items() for piece in pair]
        sent.append(call("HSET", log.counter, *flat))
    if state.published != before.published:
        heads = GlobalKeys.audit_heads
        if state.published is None:
            sent.append(call("HDEL", heads, log.workspace))
        else:
            sent.append(call("HSET", heads, log.workspace, state.published))
    if state.keys != before.keys:
        sent.append(call("DEL", GlobalKeys.signing_keys))
        flat = [piece for pair in state.keys.items() for piece in pair]
        sent.append(call("HSET", GlobalKeys.signing_keys, *flat))
    for one in sent:
        await one
