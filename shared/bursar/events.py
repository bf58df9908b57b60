"""Event logs, of sessions and of workspaces: what entries look like, here and on the wire.

An event is a kind and a JSON object with ``session turn step attempt seq at_ms`` and the kind's own
fields. ``seq`` and ``at_ms`` are added inside the script that appends it. Ids on the wire are
``<generation>-<seq>``, or ``<generation>-<seq>.<tree_seq>`` in streams of a session with all below;
a cursor of another generation cannot be resumed and answers `reset`.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from bursar.errors import InvalidInput, NotFound
from bursar.store.codec import encode_json, text
from bursar.store.store import Store

__all__ = [
    "CHILD_NEWS",
    "DELTAS",
    "KINDS",
    "TERMINAL",
    "Event",
    "EventLog",
    "LoggedEvent",
    "Span",
    "event_args",
    "event_id",
    "parse_cursor",
    "parse_published",
    "read_head",
    "read_log",
    "turn_head",
]

_DIGITS_MAX = 20
_ABSENT = {"session": "no such session in this workspace", "workspace": "no such workspace"}

TERMINAL = frozenset({"turn.succeeded", "turn.failed", "turn.cancelled", "turn.quarantined"})
DELTAS = frozenset({"text.delta", "reasoning.delta"})
CHILD_NEWS = frozenset({"child.spawned", "child.finished"})
"""What a session's log says of those below it, behind what it tells of."""
KINDS = (
    TERMINAL
    | DELTAS
    | CHILD_NEWS
    | {
        "session.created",
        "session.ended",
        "turn.queued",
        "turn.started",
        "turn.waiting",
        "turn.resumed",
        "step.started",
        "step.abandoned",
        "message.committed",
        "tool.requested",
        "tool.started",
        "tool.progress",
        "tool.finished",
        "child.spawned",
        "child.finished",
        "approval.requested",
        "approval.deferred",
        "approval.resolved",
        "budget.warning",
        "budget.raised",
        "budget.overrun",
        "budget.exhausted",
        "usage",
        "context.compacted",
        "webhook.failed",
        "gap",
        "reset",
    }
)


class EventLog(Protocol):
    """A log of events: `SessionKeys`, `TreeKeys`, or `WorkspaceKeys` for the feed of a workspace.

    ``events`` is the stream and its channel; the hash counts its numbers in the field ``counter``,
    and is that of the thing of this ``kind`` whose events these are.
    """

    kind: str
    hash: str
    events: str
    counter: str


class Event(msgspec.Struct, frozen=True):
    """An event to be appended; ``body`` is its JSON object without ``seq`` and ``at_ms``."""

    kind: str
    body: bytes


class Span(msgspec.Struct, frozen=True):
    """Where in a session something happens; stands at the head of every event's data."""

    session: str
    turn: str = ""
    step: int = 0
    attempt: int = 0

    def event(self, kind: str, /, **data: Any) -> Event:
        head = {
            "session": self.session,
            "turn": self.turn,
            "step": self.step,
            "attempt": self.attempt,
        }
        return Event(kind, encode_json(head | data))

    def at(
        self, *, turn: str | None = None, step: int | None = None, attempt: int | None = None
    ) -> "Span":
        return Span(
            self.session,
            self.turn if turn is None else turn,
            self.step if step is None else step,
            self.attempt if attempt is None else attempt,
        )


class LoggedEvent(msgspec.Struct, frozen=True):
    """An event as the log holds it; ``data`` is JSON bytes that are passed on untouched."""

    seq: int
    kind: str
    data: bytes

    @property
    def session(self) -> str:
        """The session that it is of: `Span.event` puts that first."""
        start = len(b'{"session":"')
        return self.data[start : self.data.index(b'"', start)].decode()

    @property
    def at_ms(self) -> int:
        """When it was appended: the script that does so puts this last."""
        return int(self.data[self.data.rindex(b":") + 1 : -1])

    def decode(self) -> dict[str, Any]:
        decoded: dict[str, Any] = msgspec.json.decode(self.data)
        return decoded


def event_args(events: Iterable[Event]) -> list[Any]:
    """A list argument of scripts: count, then kind, body, …"""
    flat: list[Any] = [0]
    for event in events:
        flat += [event.kind, event.body]
    flat[0] = len(flat) // 2
    return flat


def turn_head(session: str, turn: str) -> bytes:
    """How the data of every event of a turn begins: `Span.event` puts these two first."""
    return encode_json({"session": session, "turn": turn})[:-1] + b","


def event_id(generation: int, seq: int, *more: int) -> str:
    """An id on the wire: the places in each of the logs that a stream is made of."""
    first = f"{generation}-{seq}"
    return ".".join([first, *map(str, more)]) if more else first


def parse_cursor(cursor: str, *, logs: int = 1) -> tuple[int, tuple[int, ...]]:
    """Split a ``Last-Event-ID`` into generation and a seq for each log of its stream.

    Raises:
        InvalidInput: it is not an id that a gateway ever sent for a stream of so many logs.

    """
    generation, _, places = cursor.partition("-")
    seqs = places.split(".")
    numbers = cursor.isascii() and all(
        part.isdecimal() and len(part) <= _DIGITS_MAX for part in (generation, *seqs)
    )
    if not numbers or len(seqs) != logs:
        expected = f"<generation>-<seq>{'.<tree_seq>' if logs > 1 else ''}"
        raise InvalidInput(f"expected an event id '{expected}'", field="Last-Event-ID")
    return int(generation), tuple(map(int, seqs))


async def read_head(store: Store, log: EventLog) -> tuple[int, str]:
    """The seq of the newest event, which the log may no longer hold, and a session's state.

    Raises:
        NotFound: there is nothing that the log could be of.

    """
    known, seq, state = await store.redis.call("HMGET", log.hash, "id", log.counter, "state")
    if known is None:
        raise NotFound(_ABSENT[log.kind], code=f"{log.kind}_not_found")
    return int(seq or 0), text(state)


async def read_log(
    store: Store, log: EventLog, *, after: int, limit: int = 500
) -> list[LoggedEvent]:
    """Events with a seq greater than ``after``, oldest first."""
    entries = await store.redis.call("XRANGE", log.events, f"({after}-0", "+", "COUNT", limit)
    return [
        LoggedEvent(int(text(entry_id).split("-")[0]), text(fields[b"t"]), fields[b"d"])
        for entry_id, fields in entries
    ]


def parse_published(payload: bytes) -> LoggedEvent:
    """Read a message of a log's channel: ``<seq> <kind> <data>``."""
    seq, kind, data = payload.split(b" ", 2)
    return LoggedEvent(int(seq), kind.decode(), data)
