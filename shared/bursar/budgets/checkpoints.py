"""Checkpoints: what accounts have spent goes into the ledger anew, so that older entries may go.

The order is: make a checkpoint, store elsewhere what is before it, trim. Whoever dies in between
loses nothing: the next one makes a checkpoint of its own, and finds all that was not trimmed.
"""

import msgspec

from bursar.budgets.audit import audit_budgets
from bursar.budgets.ledger import account_names, walk_ledger
from bursar.errors import Conflict
from bursar.ids import new_id
from bursar.store.scripts.ledger import carry_forward, trim
from bursar.store.store import Store

__all__ = ["Checkpoint", "Trimmed", "make_checkpoint", "trim_ledger"]

_LOT = 100  # accounts of one script
_AT_ONCE = 1000  # entries of one script
_MAX = 50_000


class Checkpoint(msgspec.Struct, frozen=True):
    """``checkpoint`` is the ledger entry with which it begins; those before it may go."""

    checkpoint: str
    accounts: int
    """How many were carried forward: those that have spent something."""


class Trimmed(msgspec.Struct, frozen=True):
    """How many entries were dropped, and whether there is more to drop."""

    entries: int
    more: bool


async def make_checkpoint(store: Store, workspace: str, *, force: bool = False) -> Checkpoint:
    """Carry all accounts forward. It counts once all are; until then it changes nothing.

    Args:
        force: take the accounts as they are, also if the ledger does not add up to them; from then
            on nobody can tell that it did not.

    Raises:
        Conflict: the ledger does not add up to the accounts (``accounts_differ``).

    """
    if not force and (wrong := (await audit_budgets(store, workspace)).differences):
        raise Conflict(
            f"{len(wrong)} figures of accounts are not what the ledger and the open holds add up "
            "to; an audit names them, and a checkpoint would hide them",
            code="accounts_differ",
        )
    ws = store.workspace(workspace)
    checkpoint_id = new_id("chk")
    begun, _ = await carry_forward(store, ws, checkpoint_id=checkpoint_id)
    # Asked for afterwards: one that is opened from here on has no entries before the checkpoint.
    names = await account_names(store, ws)
    carried = 0
    for first in range(0, len(names), _LOT):
        _, some = await carry_forward(
            store,
            ws,
            names[first : first + _LOT],
            checkpoint_id=checkpoint_id,
            begun=begun,
            last=first + _LOT >= len(names),
        )
        carried += some
    return Checkpoint(begun, carried)


async def trim_ledger(
    store: Store, workspace: str, checkpoint: str, *, at_most: int = _MAX
) -> Trimmed:
    """Drop entries before a checkpoint, or before any entry older than the last one.

    Raises:
        Conflict: it is not complete, or is none (``no_checkpoint``).

    """
    ws = store.workspace(workspace)
    dropped = 0
    async for page in walk_ledger(store, workspace, before=checkpoint, at_once=_AT_ONCE):
        if dropped + len(page) > at_most:
            return Trimmed(dropped, more=True)
        # All of a page but its last, which goes with the next one: its successor is not known yet.
        dropped += await trim(store, ws, checkpoint, page[-1]["entry"])
    return Trimmed(dropped + await trim(store, ws, checkpoint, checkpoint), more=False)
