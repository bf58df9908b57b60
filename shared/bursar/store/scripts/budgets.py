"""Typed calls of the scripts about holds: make one on a whole path of accounts, end one."""

from typing import Any, Literal, NoReturn

import msgspec

from bursar.audit.entries import SYSTEM, Record
from bursar.leases import Lease
from bursar.store.codec import text, text_list
from bursar.store.keys import SessionKeys
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for, raise_refused
from bursar.store.store import Store

__all__ = [
    "EndOp",
    "EndedAs",
    "EndedHold",
    "HoldRef",
    "HoldWish",
    "Path",
    "end_hold",
    "hold_of",
    "raise_unheld",
    "reserve",
    "wish_args",
    "wish_keys",
]

_RESERVE = Script("budget_reserve")
_END = Script("budget_end")

EndOp = Literal["commit", "release", "expire", "adjust"]
EndedAs = Literal["committed", "released", "unconfirmed"]


class Path(msgspec.Struct, frozen=True):
    """The accounts that a debit of one session touches, in the order in which they are checked."""

    names: tuple[str, ...]
    keys: tuple[str, ...]

    @classmethod
    def of(cls, session: SessionKeys, *, user: str, ancestors: tuple[str, ...] = ()) -> "Path":
        """Workspace, user, ancestors from the root down, own account.

        Args:
            ancestors: session ids from the root down to the parent; empty for a root session.

        """
        names = ("ws", f"user:{user}", *(f"s:{sid}" for sid in (*ancestors, session.id)))
        return cls(names, tuple(session.workspace.account(name) for name in names))


class HoldRef(msgspec.Struct, frozen=True):
    """A hold that was made: enough to end it from anywhere, its secret included."""

    id: str
    key: str
    secret: str
    cost_microusd: int
    tokens: int
    names: str
    accounts: tuple[str, ...]
    timers: str
    ledger: str
    warned: bool = False
    """Whether an account of the path is over its warn level."""

    def __repr__(self) -> str:
        return f"HoldRef({self.id!r}, cost_microusd={self.cost_microusd})"


class EndedHold(msgspec.Struct, frozen=True):
    """``state`` is ``committed``, ``released`` or ``unconfirmed``.

    ``warned`` names accounts that this took over their warn level, ``waiting`` those where turns
    wait for money, ``overdrawn`` the one that it froze.
    """

    state: str
    actual_microusd: int
    warned: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    overdrawn: str = ""


class HoldWish(msgspec.Struct, frozen=True):
    """An amount to be held.

    Args:
        hold_id: deterministic (``session/turn/step/attempt``), so that a repeat is recognised.
        sent: True if the money may be gone from now on; an expired hold is then booked in full.
        ttl_ms: when it expires, should nobody end it and its lease have run out.
        kind: what it pays for, with the model's or tool's name: ``model:…``, ``tool:…``, or
            ``closing:…``, which may use what its session keeps back.
        price: version of the price that the amount was computed with.

    """

    hold_id: str
    secret: str
    cost_microusd: int
    tokens: int
    sent: bool
    ttl_ms: int
    turn: str
    step: int
    kind: str
    price: str


async def reserve(store: Store, lease: Lease, path: Path, wish: HoldWish) -> HoldRef:
    """Hold an amount on every account of the path, or change nothing. Safe to repeat.

    Raises:
        BudgetRefused: names the account and the kind.
        Conflict: the id was used with another amount, or its hold has ended (``hold_ended``).
        Fenced: the lease is not ours.

    """
    session = lease.session
    args = [lease.epoch, lease.owner, *wish_args(session, path, wish)]
    keys = [session.hash, session.effects, *wish_keys(session, path, wish)]
    reply = await store.run(_RESERVE, keys, args)
    if reply[0] == "ok":
        return hold_of(session, path, wish, warned=text(reply[1]) == "1")
    if reply[0] != "repeat":
        raise_unheld(reply)
    if text(reply[1]) != "open":
        raise_for(["hold_ended"])
    return hold_of(session, path, msgspec.structs.replace(wish, secret=text(reply[2])))


def wish_keys(session: SessionKeys, path: Path, wish: HoldWish) -> list[str]:
    """KEYS of scripts that make a hold, from the hold on."""
    ws = session.workspace
    return [ws.hold(wish.hold_id), ws.shard.timers, ws.turn(wish.turn), *path.keys]


def wish_args(session: SessionKeys, path: Path, wish: HoldWish) -> list[str | int]:
    """ARGV of scripts that make a hold, from its id on."""
    return [
        wish.hold_id,
        session.timer("hold", wish.hold_id),
        wish.secret,
        wish.cost_microusd,
        wish.tokens,
        int(wish.sent),
        wish.ttl_ms,
        ",".join(path.names),
        session.id,
        wish.turn,
        wish.step,
        wish.kind,
        wish.price,
    ]


def hold_of(session: SessionKeys, path: Path, wish: HoldWish, *, warned: bool = False) -> HoldRef:
    ws = session.workspace
    return HoldRef(
        id=wish.hold_id,
        key=ws.hold(wish.hold_id),
        secret=wish.secret,
        cost_microusd=wish.cost_microusd,
        tokens=wish.tokens,
        names=",".join(path.names),
        accounts=path.keys,
        timers=ws.shard.timers,
        ledger=ws.ledger,
        warned=warned,
    )


def raise_unheld(reply: list[Any]) -> NoReturn:
    """Raise what the refusal of a hold means."""
    if reply[0] == "refused":
        raise_refused(reply)
    raise_for(reply)


async def end_hold(
    store: Store,
    session: SessionKeys,
    *,
    op: EndOp,
    hold_id: str,
    names: str,
    turn: str,
    secret: str = "",
    actual_microusd: int = 0,
    tokens: int = 0,
    only_if_due: bool = False,
    actor: str = SYSTEM,
) -> EndedHold | None:
    """End a hold outside a step's commit, or lower what one was booked with.

    None if ``only_if_due`` and its time has not come, or its lease is alive. A hold that ended
    before answers as it ended then, but a commit of one that expired books what was really spent,
    if that is less.

    Raises:
        Conflict: ``hold_open`` for an adjustment of one that has not ended, ``not_lower`` for one
            upwards, ``hold_not_yours`` for another secret.
        NotFound: no such hold, or it ended too long ago.

    """
    ws = session.workspace
    accounts = [ws.account(name) for name in names.split(",")]
    keys = [
        session.hash,
        ws.hold(hold_id),
        session.effects,
        ws.shard.timers,
        ws.ledger,
        ws.shard.stats,
        ws.stats,
        ws.turn(turn),
        ws.hash,
        ws.audit,
        *accounts,
    ]
    ttl_ms = int(store.settings.hold_ttl_s * 1000)
    correction = Record(
        workspace=ws.id,
        actor=actor,
        action="budget.adjust",
        decision="done",
        session=session.id,
        turn=turn,
        details={"hold": hold_id},
    )
    args = [
        op,
        secret,
        actual_microusd,
        tokens,
        names,
        ttl_ms,
        int(only_if_due),
        correction.body,
    ]
    reply = await store.run(_END, keys, args)
    if reply[0] == "not_due":
        return None
    if reply[0] == "repeat":
        return EndedHold(text(reply[1]), int(text(reply[2]) or 0))
    if reply[0] != "ok":
        raise_for(reply)
    warned, waiting = (tuple(text_list(names)) for names in reply[3:5])
    return EndedHold(text(reply[1]), int(reply[2]), warned, waiting, text(reply[5]))
