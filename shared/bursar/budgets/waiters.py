"""Waking turns that wait for money, when some came free or people decided.

Whoever frees money does this right away; the sweeper repeats it, should that one have died.
"""

from bursar.queue import Bells
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts import waiters
from bursar.store.scripts.waiters import How, Waiter
from bursar.store.store import Store

__all__ = ["deny_all", "wake_all"]

_AT_ONCE = 100


async def wake_all(
    store: Store, bells: Bells, ws: WorkspaceKeys, account: str, how: How = "freed"
) -> int:
    """Wake the turns that may go on, oldest first; returns how many were rung for."""
    gone: list[str] = []
    while True:
        found = await waiters.may_go_on(store, ws, account, gone)
        rung, gone = await _wake(store, bells, ws, found, how, "")
        # Those that had left the line without saying so took the place of others.
        if not gone:
            return rung


async def deny_all(store: Store, bells: Bells, ws: WorkspaceKeys, account: str, reason: str) -> int:
    """Tell every turn in an account's line that there will be no money; returns how many."""
    denied = 0
    found = await waiters.read_waiters(store, ws, account, _AT_ONCE)
    seen: set[str] = set()
    while fresh := [waiter for waiter in found if waiter.member not in seen]:
        seen.update(waiter.member for waiter in fresh)
        await _wake(store, bells, ws, fresh, "denied", reason)
        denied += len(fresh)
        found = await waiters.read_waiters(store, ws, account, len(seen) + _AT_ONCE)
    return denied


async def _wake(
    store: Store,
    bells: Bells,
    ws: WorkspaceKeys,
    found: list[Waiter],
    how: How,
    reason: str,
) -> tuple[int, list[str]]:
    rung, gone = 0, []
    for waiter in found:
        ring = await waiters.wake(store, ws, waiter, how, reason)
        if ring == "gone":
            gone.append(waiter.member)
        elif ring is not None:
            await bells.ring(ring)
            rung += 1
    return rung, gone
