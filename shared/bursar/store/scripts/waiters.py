"""Typed calls of the scripts about turns that wait for money of an account."""

from typing import Literal

import msgspec

from bursar.store.codec import text, text_list
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.leases import Ring
from bursar.store.scripts.loader import Script
from bursar.store.store import Store

__all__ = ["How", "Waiter", "may_go_on", "read_waiters", "wake"]

_WAKE_LIST = Script("budget_wake")
_WAKE = Script("waiter_wake")

How = Literal["freed", "raised", "denied"]


class Waiter(msgspec.Struct, frozen=True):
    """A turn in an account's line, and what it needs at least."""

    member: str
    cost_microusd: int
    tokens: int
    kind: str
    """``contended``, ``exhausted`` or ``frozen``, as it was when the turn began to wait."""
    session: str
    turn: str

    @classmethod
    def parse(cls, member: str) -> "Waiter":
        cost, tokens, kind, _keeps, session, turn = member.split(" ")
        return cls(member, int(cost), int(tokens), kind, session, turn)


async def may_go_on(store: Store, ws: WorkspaceKeys, account: str, gone: list[str]) -> list[Waiter]:
    """Those that may go on now. ``gone`` are members that do not wait any more."""
    keys = [ws.account(account), ws.waiters(account), ws.shard.waiting, ws.questions]
    args = [account, f"{ws.id} {account}", len(gone), *gone]
    reply = await store.run(_WAKE_LIST, keys, args)
    return [Waiter.parse(member) for member in text_list(reply[1])] if reply[0] == "ok" else []


async def read_waiters(store: Store, ws: WorkspaceKeys, account: str, limit: int) -> list[Waiter]:
    """The oldest of the line."""
    members = await store.redis.call("ZRANGE", ws.waiters(account), 0, limit - 1)
    return [Waiter.parse(member) for member in text_list(members)]


async def wake(
    store: Store, ws: WorkspaceKeys, waiter: Waiter, how: How, reason: str = ""
) -> Ring | Literal["gone"] | None:
    """Wake one turn. The returned ring, if any, must be rung; ``gone`` if it waits no more."""
    session = ws.session(waiter.session)
    keys = [session.hash, session.inbox, ws.shard.ready, ws.turn(waiter.turn)]
    reply = await store.run(_WAKE, keys, [session.ref, waiter.turn, waiter.member, how, reason])
    if reply[0] == "gone":
        return "gone"
    if reply[0] != "ring":
        return None
    agent, priority = text(reply[1]), text(reply[2])
    return Ring(session, agent, priority, int(reply[3]), int(reply[4]))
