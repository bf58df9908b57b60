"""Reading audit logs as they lie in Redis, and how far they are sealed.

Nothing here trusts what it reads: somebody may have changed it, and to find that out is the reason
why it is read.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from bursar.audit.seals import Seal
from bursar.errors import Conflict
from bursar.store.codec import decode_json, text
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.audit import AuditLog
from bursar.store.store import Store

__all__ = [
    "AuditState",
    "Stored",
    "as_seal",
    "last_seal",
    "read_entries",
    "read_seals",
    "read_state",
    "walk",
]

_FIELDS = ("audit_seq", "sealed_seq", "published_seq", "exported_seq", "trimmed_seq")
_BODY = b"d"


class Stored(msgspec.Struct, frozen=True):
    """An entry or a seal as it lies in Redis.

    ``seq`` and ``part`` are the two halves of its id; of what is genuine ``part`` is 0 and there
    are no ``other`` fields.
    """

    seq: int
    part: int
    body: bytes
    other: tuple[bytes, ...] = ()

    @property
    def plain(self) -> bool:
        return self.part == 0 and not self.other


class AuditState(msgspec.Struct, frozen=True):
    """How far a log goes, by its own counters.

    ``sealed_seq`` is the last entry with a seal, ``exported_seq`` the last one of a complete
    export, ``trimmed_seq`` the last one that was dropped. ``published`` is the newest seal as it is
    kept apart from the log; None if there is none, or what is there is no seal.
    """

    workspace: str
    audit_seq: int
    sealed_seq: int
    published_seq: int
    exported_seq: int
    trimmed_seq: int
    published: Seal | None
    problem: str = ""
    """What kept the sealer from going on when it came by last."""


async def read_state(store: Store, log: AuditLog) -> AuditState:
    # First, so that the log can only be ahead of it.
    published = await store.redis.call("HGET", GlobalKeys.audit_heads, log.workspace)
    problems = store.redis.call("HGET", GlobalKeys.audit_state, "problems")
    counters = await store.redis.call("HMGET", log.counter, *_FIELDS)
    numbers = dict(zip(_FIELDS, map(_number, counters), strict=True))
    found = decode_json(await problems or b"{}", dict[str, str])
    return AuditState(
        workspace=log.workspace,
        published=as_seal(published or b""),
        problem=found.get(log.workspace, ""),
        **numbers,
    )


def as_seal(raw: bytes) -> Seal | None:
    """A seal of exactly these bytes; None if they are none."""
    try:
        seal = decode_json(raw, Seal)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return seal if msgspec.json.encode(seal) == raw else None


def _number(value: Any) -> int:
    digits = text(value)
    return int(digits) if digits.isdecimal() else 0


async def walk(
    store: Store, key: str, *, until: int | None = None, at_once: int = 1000
) -> AsyncIterator[list[Stored]]:
    """A stream of entries or of seals, page by page, oldest first.

    Args:
        until: those with a higher number than this are left out.

    Raises:
        Conflict: it is no stream (``audit_unreadable``).

    """
    first, last = "-", "+" if until is None else f"{until}"
    while True:
        page = await read_entries(store, "XRANGE", key, first, last, "COUNT", at_once)
        if page:
            yield page
            first = f"({page[-1].seq}-{page[-1].part}"
        if len(page) < at_once:
            return


async def read_seals(store: Store, log: AuditLog, *, after: int, limit: int) -> list[Seal]:
    """Seals that end behind an entry, oldest first; what is no seal is left out."""
    page = await read_entries(store, "XRANGE", log.seals, f"{after + 1}-0", "+", "COUNT", limit)
    return [seal for stored in page if (seal := as_seal(stored.body)) is not None]


async def last_seal(store: Store, log: AuditLog, *, until: int | None = None) -> Stored | None:
    """The newest seal, or the newest one that ends with an entry or before it."""
    end = "+" if until is None else f"{until}"
    page = await read_entries(store, "XREVRANGE", log.seals, end, "-", "COUNT", 1)
    return page[0] if page else None


async def read_entries(store: Store, command: str, key: str, *args: str | int) -> list[Stored]:
    """What XRANGE or XREVRANGE finds in a stream.

    Raises:
        Conflict: it is no stream (``audit_unreadable``).

    """
    try:
        raw = await store.redis.call(command, key, *args)
    except ResponseError as error:
        raise Conflict(f"the audit log cannot be read: {error}", code="audit_unreadable") from error
    return [_stored(entry, fields) for entry, fields in raw]


def _stored(entry: Any, fields: dict[bytes, bytes]) -> Stored:
    seq, _, part = text(entry).partition("-")
    other = tuple(sorted(name for name in fields if name != _BODY))
    return Stored(int(seq), int(part), fields.get(_BODY, b""), other)
