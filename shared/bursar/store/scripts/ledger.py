"""Typed calls of the scripts about a workspace's ledger: audits, checkpoints, trimming."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.store.codec import text, text_list
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = ["AccountState", "EntryId", "Snapshot", "carry_forward", "entry_id", "take", "trim"]

_SNAPSHOT = Script("budget_snapshot")
_CHECKPOINT = Script("ledger_checkpoint")
_TRIM = Script("ledger_trim")

EntryId = tuple[int, int]


def entry_id(entry: str) -> EntryId:
    """The id of a stream's entry in a form that compares as Redis does."""
    ms, _, number = entry.partition("-")
    return int(ms), int(number or 0)


class AccountState(msgspec.Struct, frozen=True):
    """An account's figures at one moment.

    ``opened_ms`` is when the session or the workspace was made whose account it is; 0 if there is
    no such session any more. ``in_line`` is the length of its line, ``waiting`` what it says about
    that itself.
    """

    name: str
    exists: bool
    opened_ms: int
    in_line: int
    limit_microusd: int | None
    posted_microusd: int
    pending_microusd: int
    tokens_posted: int
    tokens_pending: int
    floor_microusd: int
    overrun_microusd: int
    waiting: int


class Snapshot(msgspec.Struct, frozen=True):
    """Accounts at one moment, the ids of the holds that were open, and the ledger's last entry.

    ``checkpoint`` is the entry with which the last complete checkpoint begins; empty if none.
    """

    newest: EntryId
    checkpoint: str
    holds: list[str]
    accounts: list[AccountState]


async def take(store: Store, ws: WorkspaceKeys, names: Sequence[str]) -> Snapshot:
    """Read accounts and what they are checked against, at one moment."""
    keys = [ws.hash, ws.ledger, ws.shard.timers]
    for name in names:
        kind, _, sid = name.partition(":")
        owner = ws.session(sid).hash if kind == "s" else ws.hash
        keys += [ws.account(name), ws.waiters(name), owner]
    reply = await store.run(_SNAPSHOT, keys, [f"hold {ws.id}/"])
    return Snapshot(
        entry_id(text(reply[1])),
        text(reply[2]),
        [timer.split(" ", 2)[2] for timer in text_list(reply[3])],
        [_state(name, values) for name, values in zip(names, reply[4], strict=True)],
    )


def _state(name: str, values: Sequence[Any]) -> AccountState:
    limit = text(values[2])
    figures = [int(text(value) or 0) for value in values[3:]]
    return AccountState(
        name,
        limit != "",
        int(text(values[0]) or 0),
        int(values[1]),
        None if limit in {"", "unlimited"} else int(limit),
        *figures,
    )


async def carry_forward(
    store: Store,
    ws: WorkspaceKeys,
    names: Sequence[str] = (),
    *,
    checkpoint_id: str,
    begun: str = "",
    last: bool = False,
) -> tuple[str, int]:
    """Go on with a checkpoint, or begin one.

    Args:
        names: accounts whose turn it is; at most some hundred at once.
        begun: what the first call returned; empty begins one.
        last: all accounts that there were when it began have had their turn.

    Returns:
        The entry with which it began, and how many accounts were carried forward by this call.

    """
    keys = [ws.hash, ws.ledger, *(ws.account(name) for name in names)]
    args = [checkpoint_id, begun, int(last), len(names), *names]
    reply = await store.run(_CHECKPOINT, keys, args)
    return text(reply[1]), int(reply[2])


async def trim(store: Store, ws: WorkspaceKeys, checkpoint: str, oldest: str) -> int:
    """Drop the entries before one; returns how many those were.

    Args:
        checkpoint: the entry with which one begins, or an older one.
        oldest: that entry, or one before it.

    Raises:
        Conflict: there is no complete checkpoint from there on (``no_checkpoint``).

    """
    reply = await store.run(_TRIM, [ws.hash, ws.ledger], [checkpoint, oldest])
    if reply[0] != "ok":
        raise_for(reply)
    return int(reply[1])
