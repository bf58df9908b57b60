"""What others wait for and a drive brings: places, money, the ends of sub-agents. Who is told."""

import asyncio
import logging

from bursar.budgets.waiters import wake_all
from bursar.errors import BursarError
from bursar.leases import Lease
from bursar.store.scripts import leases
from bursar_worker.kit import Kit

__all__ = ["Freed"]

logger = logging.getLogger(__name__)


class Freed:
    """One a drive; scripts note on its lease what they set free."""

    def __init__(self, kit: Kit, lease: Lease) -> None:
        self._kit = kit
        self._lease = lease
        self._wakes: set[asyncio.Task[None]] = set()

    def wake_waiters(self) -> None:
        """Money came free: wake the turns that wait for it, while this one goes on."""
        for account in self._lease.freed:
            task = asyncio.get_running_loop().create_task(self._wake_at(account))
            self._wakes.add(task)
            task.add_done_callback(self._wakes.discard)
        self._lease.freed.clear()

    async def ring(self) -> None:
        """Ring for sessions that waited for the place that is free now, and for the one above."""
        self.wake_waiters()
        for told in self._lease.told:
            await self._kit.bells.tell(told)
        self._lease.told.clear()
        ws = self._lease.session.workspace
        for blocked in self._lease.next_blocked:
            why, _, ref = blocked.partition(" ")
            other = ws.session(ref.partition("/")[2])
            list_key = ws.shard.blocked_cap(ws.id) if why == "cap" else other.tree_blocked
            ring = await leases.unblock(self._kit.store, other, why=why, list_key=list_key)
            if ring is not None:
                await self._kit.bells.ring(ring)
        self._lease.next_blocked.clear()

    async def settle(self) -> None:
        """Wait until all have been told."""
        await asyncio.gather(*self._wakes)

    async def _wake_at(self, account: str) -> None:
        workspace = self._lease.session.workspace
        try:
            await wake_all(self._kit.store, self._kit.bells, workspace, account)
        except BursarError as error:
            logger.warning("account %s: the sweeper will wake who waits: %s", account, error)
