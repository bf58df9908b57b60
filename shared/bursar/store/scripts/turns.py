"""Typed calls of the scripts that move a turn on. Each is one atomic change, fenced by the lease.

`bursar.store.scripts.parking` has those by which a turn waits.
"""

import enum
from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.events import Event, event_args
from bursar.leases import InboxItem, Lease
from bursar.messages import Message
from bursar.store.codec import encode_message, pairs, text
from bursar.store.keys import SessionKeys
from bursar.store.scripts.above import Above, told_above
from bursar.store.scripts.budgets import EndedAs, HoldRef
from bursar.store.scripts.fenced import note_waiting, run_fenced
from bursar.store.scripts.loader import Script
from bursar.store.store import Store

__all__ = [
    "Commit",
    "Finished",
    "Started",
    "admit",
    "append_events",
    "commit_step",
    "finish",
    "hold_keys",
    "start",
]

_START = Script("turn_start")
_ADMIT = Script("turn_admit")
_APPEND = Script("events_append")
_COMMIT = Script("step_commit")
_FINISH = Script("turn_finish")


class Commit(msgspec.Struct, frozen=True):
    """What a step leaves behind.

    Args:
        items: inbox items that are dealt with, such as inputs that joined the turn.
        effects: fields to set in the session's open effects; ``effects_done`` are dropped.
        token_count: size of the context now, or None to leave it.
        hold: hold to settle with ``actual_microusd`` and ``actual_tokens``; ``ended_as`` is how its
            ledger entry names that, ``warning`` the body of events about accounts that it takes
            over their warn level or overdraws.
        records: bodies of audit entries about what was decided and done on the way.
        turn_done: fields of the turn's record to drop.
        verdict: how the turn ends as soon as its sub-agents have; empty while that is open.

    """

    items: Sequence[InboxItem] = ()
    messages: Sequence[Message] = ()
    effects: dict[str, str | bytes] = {}
    effects_done: Sequence[str] = ()
    steps: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    token_count: int | None = None
    hold: HoldRef | None = None
    actual_microusd: int = 0
    actual_tokens: int = 0
    ended_as: EndedAs = "committed"
    warning: bytes = b"{}"
    records: Sequence[bytes] = ()
    turn_done: Sequence[str] = ()
    verdict: bytes = b""

    def args(self, store: Store) -> list[Any]:
        return [
            len(self.items),
            *(item.raw for item in self.items),
            len(self.messages),
            *(encode_message(message) for message in self.messages),
            *pairs(self.effects),
            len(self.effects_done),
            *self.effects_done,
            self.steps,
            self.tool_calls,
            self.input_tokens,
            self.output_tokens,
            "" if self.token_count is None else self.token_count,
            self.hold.secret if self.hold else "",
            self.actual_microusd,
            self.actual_tokens,
            self.ended_as,
            self.hold.names if self.hold else "",
            int(store.settings.hold_ttl_s * 1000),
            self.warning,
            len(self.records),
            *self.records,
            len(self.turn_done),
            *self.turn_done,
            self.verdict,
        ]


class Started(enum.Enum):
    """What became of a turn that was to begin."""

    YES = "ok"
    GONE = "not_queued"
    """It was cancelled meanwhile, and its inbox item is dropped."""
    BLOCKED = "blocked"
    """Its workspace was paused, or others wait for a place under the cap: give the lease back."""


class Finished(enum.Enum):
    """How a turn's end left the session."""

    MORE = "more"
    """The inbox holds more: the lease is still ours."""
    REST = "rest"
    """Nothing is left: the lease was given back."""
    INJECTED = "injected"
    """Not at all: an input joined the turn that is not dealt with; look into the inbox."""
    CHILDREN = "children"
    """Not at all: sub-agents of the turn have not ended; stop them first."""


async def start(
    store: Store, lease: Lease, item: InboxItem, events: Sequence[Event], *, yields: bool = False
) -> Started:
    """Begin the turn of an input item.

    Args:
        yields: whether sessions that wait for a place under the workspace's cap come first.

    """
    session = lease.session
    ws = session.workspace
    turn = ws.turn(item.target)
    args = [
        session.ref,
        item.target,
        item.raw,
        int(yields),
        store.settings.event_log_max,
        *event_args(events),
    ]
    keys = [
        *session.stateful,
        session.inbox,
        turn,
        session.messages,
        ws.hash,
        ws.shard.blocked_cap(ws.id),
        ws.shard.timers,
    ]
    reply = await run_fenced(store, lease, _START, keys, args)
    return Started.YES if reply[0] in {"ok", "repeat"} else Started(reply[0])


async def admit(store: Store, lease: Lease, turn: str, message: Message | None) -> None:
    """Record that the agent's hooks let a turn's input in, maybe as another ``message``."""
    session = lease.session
    keys = [session.hash, session.workspace.turn(turn), session.messages]
    payload = b"" if message is None else encode_message(message)
    await run_fenced(store, lease, _ADMIT, keys, [payload])


async def append_events(store: Store, lease: Lease, events: Sequence[Event]) -> int:
    """Append to the log and publish; returns the seq of the last event."""
    session = lease.session
    args = [store.settings.event_log_max, *event_args(events)]
    reply = await run_fenced(store, lease, _APPEND, list(session.logged), args)
    return int(reply[1])


async def commit_step(
    store: Store, lease: Lease, turn: str, commit: Commit, events: Sequence[Event]
) -> None:
    """Commit messages, effects, counters, settlement and events, all or nothing."""
    session = lease.session
    keys = [
        *session.counted,
        session.effects,
        session.messages,
        session.workspace.turn(turn),
        session.inbox,
        session.workspace.hash,
        session.workspace.audit,
    ]
    args = [store.settings.event_log_max, *commit.args(store), *event_args(events)]
    reply = await run_fenced(store, lease, _COMMIT, [*keys, *hold_keys(commit)], args)
    if reply[0] == "ok":
        note_waiting(lease, reply[2])


async def finish(
    store: Store,
    lease: Lease,
    turn: str,
    *,
    outcome: str,
    code: str,
    reason: str,
    index_keys: Sequence[str],
    commit: Commit,
    events: Sequence[Event],
    ended_event: bytes,
    ended_audit: bytes,
    above: Above = Above(),  # noqa: B008  (frozen)
    keeps_joins: bool = False,
) -> Finished:
    """End a turn.

    Args:
        outcome: ``succeeded``, ``failed``, ``cancelled`` or ``quarantined``.
        index_keys: activity indexes of the session: all, by user, by path.
        commit: with all inbox items about this turn among its ``items``.
        events: the last one is the terminal event.
        above: the turn that spawned the session.
        keeps_joins: whether the places of what it spawned stay on record.

    """
    session, settings = lease.session, store.settings
    keys = [
        *_finish_keys(session, turn, index_keys),
        *above.keys(session),
        *hold_keys(commit),
    ]
    args = [
        settings.event_log_max,
        session.id,
        session.ref,
        turn,
        outcome,
        code,
        reason,
        int(settings.event_log_ttl_s * 1000),
        int(settings.turn_ttl_s * 1000),
        ended_event,
        ended_audit,
        session.timer("ended", "-"),
        int(keeps_joins),
        *above.args(session, turn, outcome, code),
        *commit.args(store),
        *event_args(events),
    ]
    reply = await run_fenced(store, lease, _FINISH, keys, args)
    if reply[0] in {"injected", "children"}:
        return Finished(text(reply[0]))
    lease.note_blocked(text(reply[3]))
    note_waiting(lease, reply[4])
    told = told_above(session, above.parent, reply[5:])
    lease.told += [told] if told else []
    return Finished(text(reply[2]))


def _finish_keys(session: SessionKeys, turn: str, index_keys: Sequence[str]) -> list[str]:
    ws = session.workspace
    return [
        *session.stateful,
        session.effects,
        session.messages,
        ws.turn(turn),
        session.inbox,
        ws.shard.leases,
        *index_keys,
        ws.shard.blocked_cap(ws.id),
        ws.hash,
        ws.audit,
        ws.shard.timers,
        session.joins,
    ]


def hold_keys(commit: Commit) -> list[str]:
    """The last KEYS of scripts that apply a commit: those of the hold that it settles, if any."""
    hold = commit.hold
    return [hold.key, hold.timers, hold.ledger, *hold.accounts] if hold else []
