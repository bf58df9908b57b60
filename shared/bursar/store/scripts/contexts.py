"""Typed calls of the scripts that change what a model sees beside a session's messages.

Fenced by the lease, as all that a drive writes.
"""

from collections.abc import Sequence

import msgspec

from bursar.events import Event, event_args
from bursar.leases import Lease
from bursar.store.scripts.fenced import note_waiting, run_fenced
from bursar.store.scripts.loader import Script
from bursar.store.scripts.turns import Commit, hold_keys
from bursar.store.store import Store

__all__ = ["Moved", "compact", "put_context"]

_COMPACT = Script("context_compact")
_PUT = Script("context_put")


class Moved(msgspec.Struct, frozen=True):
    """A context's new beginning.

    Args:
        start: index of its first message before, ``to`` from now on.
        summary: of what lies before ``to``, an earlier summary included.
        inputs: indexes of messages before ``to`` that the turn under way is still shown.

    """

    start: int
    to: int
    summary: str
    inputs: Sequence[int] = ()


async def compact(
    store: Store,
    lease: Lease,
    turn: str,
    moved: Moved | None,
    *,
    retry_tokens: int,
    commit: Commit,
    events: Sequence[Event],
) -> None:
    """Move the beginning of the context and settle what the summary cost, all or nothing.

    Args:
        moved: None for an attempt that failed, which changes nothing but what ``commit`` settles.
        retry_tokens: up to which size of the context nobody tries again.

    """
    session = lease.session
    keys = [
        *session.counted,
        session.effects,
        session.messages,
        session.workspace.turn(turn),
        session.inbox,
        session.workspace.hash,
        session.workspace.audit,
        session.text,
        *hold_keys(commit),
    ]
    place: list[str | int] = ["", "", "", ""]
    if moved is not None:
        inputs = " ".join(map(str, (turn, *moved.inputs))) if moved.inputs else ""
        place = [moved.start, moved.to, moved.summary, inputs]
    args = [
        store.settings.event_log_max,
        *place,
        retry_tokens,
        *commit.args(store),
        *event_args(events),
    ]
    reply = await run_fenced(store, lease, _COMPACT, keys, args)
    if reply[0] == "ok":
        note_waiting(lease, reply[2])


async def put_context(store: Store, lease: Lease, context: str) -> int:
    """Keep what the agent's context provider said; it is not asked again, also if that is empty.

    Returns the index of the first message of which the model's usage counts what it sees now.
    """
    session = lease.session
    reply = await run_fenced(store, lease, _PUT, [session.hash, session.text], [context])
    return int(reply[1])
