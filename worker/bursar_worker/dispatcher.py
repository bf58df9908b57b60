"""From bells to drives: claims what was rung for and keeps the drives of this worker."""

import asyncio
import logging
from collections.abc import Callable

from bursar.ids import new_secret
from bursar.leases import Claimed
from bursar.store.keys import SessionKeys, parse_ref
from bursar.store.scripts import leases
from bursar_worker.drive import Drive
from bursar_worker.heartbeat import Heartbeat
from bursar_worker.kit import Kit

__all__ = ["Dispatcher"]

logger = logging.getLogger(__name__)


class Dispatcher:
    """Keeps the drives of one worker.

    Args:
        on_room: told True when slots are free and False when all are taken, to steer the queue.

    """

    def __init__(self, kit: Kit, heartbeat: Heartbeat, on_room: Callable[[bool], None]) -> None:
        self._kit = kit
        self._heartbeat = heartbeat
        self._on_room = on_room
        self._drives: dict[str, Drive] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._claiming: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._followers: set[asyncio.Task[bool]] = set()
        self._draining = False

    @property
    def busy(self) -> int:
        return len(self._tasks) + len(self._claiming)

    async def accept(self, ref: str) -> bool:
        """Answer a bell. False: no free slot, the bell should be heard again.

        A session that is gone, idle, held or blocked needs nothing: whoever changes that rings.
        """
        if ref in self._drives:
            # It may be on its way out already; then the session is claimed anew after it.
            self._again.add(ref)
            self._drives[ref].look()
            return True
        if ref in self._claiming:
            return True
        if self._draining or self.busy >= self._kit.settings.slots:
            return False
        # A task of its own: a claim that is under way must be heard to its end, else the session
        # would stay leased to nobody.
        claiming = asyncio.get_running_loop().create_task(self._claim(ref))
        self._claiming[ref] = claiming
        self._on_room(self._has_room)
        claiming.add_done_callback(lambda _: self._claimed(ref))
        await asyncio.shield(claiming)
        return True

    def _claimed(self, ref: str) -> None:
        del self._claiming[ref]
        self._on_room(self._has_room)

    @property
    def _has_room(self) -> bool:
        return not self._draining and self.busy < self._kit.settings.slots

    async def _claim(self, ref: str) -> None:
        kit = self._kit
        workspace, sid = parse_ref(ref)
        session = SessionKeys(kit.store.workspace(workspace), sid)
        claimed = await leases.claim(
            kit.store,
            session,
            owner=new_secret(),
            worker=kit.worker_id,
            lease_ms=kit.settings.lease_ms,
        )
        if not isinstance(claimed, Claimed):
            logger.debug("%s: not claimed, it is %s %s", ref, claimed.status, claimed.detail)
            return
        if self._draining:
            ring = await leases.release(kit.store, claimed.lease)
            if ring is not None:
                await kit.bells.ring(ring)
            return
        agent = kit.agents.get(claimed.fields["agent"])
        if agent is None:
            logger.warning("%s: this worker has no agent %s", ref, claimed.fields["agent"])
            # Not rung: a bell would come straight back here. The sweeper rings where it is served.
            await leases.release(kit.store, claimed.lease)
            return
        self._start(ref, Drive(kit, agent, claimed))

    def _start(self, ref: str, drive: Drive) -> None:
        loop = asyncio.get_running_loop()

        def beat(status: str, inbox_seq: int) -> None:
            if status == "fenced":
                loop.call_soon_threadsafe(drive.fence)
            else:
                loop.call_soon_threadsafe(drive.look, inbox_seq)

        self._drives[ref] = drive
        self._heartbeat.add(drive.lease, beat)
        task = loop.create_task(drive.run(), name=f"drive {ref}")
        self._tasks[ref] = task
        task.add_done_callback(lambda _: self._ended(ref, drive))

    def _ended(self, ref: str, drive: Drive) -> None:
        self._heartbeat.remove(drive.lease)
        del self._drives[ref], self._tasks[ref]
        self._on_room(self._has_room)
        if ref in self._again:
            self._again.discard(ref)
            follower = asyncio.get_running_loop().create_task(self.accept(ref))
            self._followers.add(follower)
            follower.add_done_callback(self._followed)

    def _followed(self, follower: "asyncio.Task[bool]") -> None:
        self._followers.discard(follower)
        if not follower.cancelled() and follower.exception() is not None:
            logger.warning("a late bell was lost, the sweeper will ring: %s", follower.exception())

    def poke(self, ref: str) -> None:
        """A gateway says that a session that we drive has news."""
        if ref in self._drives:
            self._drives[ref].look()

    async def drain(self, grace_s: float) -> None:
        """Take nothing new, let running steps end, and hand every session back."""
        self._draining = True
        self._on_room(False)
        if self._claiming:
            await asyncio.wait(list(self._claiming.values()))
        for drive in self._drives.values():
            drive.drain()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace_s)
        for drive in self._drives.values():
            drive.drain(now=True)
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=5)
