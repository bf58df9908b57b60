"""Trees of sessions that spend, each under a lease of its own: a worker's dealings with money.

No worker, queue or gateway: the scripts of the ledger are what is measured or broken here.
"""

import asyncio
from dataclasses import dataclass

from bursar.errors import Conflict
from bursar.ids import new_id
from bursar.leases import ClaimRefused, InboxItem, Lease
from bursar.messages import UserMessage
from bursar.store.codec import encode_message
from bursar.store.scripts import budgets, leases
from bursar.store.scripts.budgets import EndedHold, HoldRef, HoldWish, Path
from bursar.store.scripts.inputs import Busy, Facts, put_input
from bursar.store.scripts.leases import Claimant
from bursar.store.scripts.sessions import Idempotency, NewSession, open_session
from bursar.store.store import Store

__all__ = ["AGENT", "Spender", "claim", "open_tree", "put_turn"]

AGENT = "spender"
_AGAIN_S = 0.05


@dataclass(frozen=True)
class Spender:
    """One session that somebody drives, with the accounts that it spends from."""

    store: Store
    lease: Lease
    path: Path
    turn: str

    def hold_id(self, number: int) -> str:
        return f"{self.lease.session.id}/{self.turn}/{number}/1"

    async def reserve(
        self,
        number: int,
        cost: int,
        *,
        secret: str,
        tokens: int = 1000,
        sent: bool = True,
        ttl_ms: int = 60_000,
    ) -> HoldRef:
        """Hold an amount. A repeat has the same number and cost."""
        wish = HoldWish(
            hold_id=self.hold_id(number),
            secret=secret,
            cost_microusd=cost,
            tokens=tokens,
            sent=sent,
            ttl_ms=ttl_ms,
            turn=self.turn,
            step=number,
            kind="model:bench",
            price="bench",
        )
        return await budgets.reserve(self.store, self.lease, self.path, wish)

    async def commit(
        self, number: int, actual: int, *, secret: str, tokens: int = 1000
    ) -> EndedHold:
        ended = await budgets.end_hold(
            self.store,
            self.lease.session,
            op="commit",
            hold_id=self.hold_id(number),
            names=",".join(self.path.names),
            turn=self.turn,
            secret=secret,
            actual_microusd=actual,
            tokens=tokens,
        )
        assert ended is not None  # noqa: S101  (it was not asked to wait until it is due)
        return ended


async def open_tree(
    store: Store, workspace: str, sids: tuple[str, ...], *, user: str, limit: int
) -> None:
    """Open sessions, each a child of the one before it unless that is open already."""
    ws = store.workspace(workspace)
    for sid, parent in zip(sids, ("", *sids[:-1]), strict=True):
        fields = {
            "ws": workspace, "user": user, "agent": AGENT, "priority": "interactive", "model": "m",
            "parent": parent, "workspace_path": "", "title": "", "tags": "", "schema_version": "1",
        }  # fmt: skip
        new = NewSession(user, "", fields, {}, limit, limit, 80, parent=parent)
        idempotency = Idempotency("bench", sid, "tree")
        await open_session(store, ws.session(sid), new, idempotency)


async def put_turn(store: Store, workspace: str, sid: str, *, user: str) -> str:
    """Give a session something to do; returns the turn."""
    turn = new_id("trn")
    accepted = await put_input(
        store,
        store.workspace(workspace).session(sid),
        Facts(user, "", AGENT, "interactive"),
        turn=turn,
        payload=encode_message(UserMessage("spend", turn=turn)),
        idempotency=Idempotency("bench", f"turn-{sid}", "turn"),
        no_worker=False,
        busy=Busy(),
    )
    if accepted is None:
        raise Conflict(f"session {sid} is not {user}'s")
    return accepted.turn


async def claim(
    store: Store,
    workspace: str,
    sids: tuple[str, ...],
    turn: str,
    *,
    user: str,
    owner: str,
    lease_ms: int,
) -> Spender:
    """Claim the last of ``sids``, which lead to it from the root down, for its turn.

    The lease of one who died is waited out.
    """
    *ancestors, sid = sids
    session = store.workspace(workspace).session(sid)
    claimant = Claimant(owner, (AGENT,), lease_ms)
    item = InboxItem(1, "input", turn)
    claimed = await leases.claim(store, session, claimant, owner=owner, item=item)
    while isinstance(claimed, ClaimRefused):
        if claimed.status != "held":
            raise Conflict(f"session {sid} cannot be claimed: {claimed}")
        await asyncio.sleep(_AGAIN_S)
        claimed = await leases.claim(store, session, claimant, owner=owner, item=item)
    path = Path.of(session, user=user, ancestors=tuple(ancestors))
    return Spender(store, claimed.lease, path, turn)
