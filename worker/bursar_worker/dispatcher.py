"""From bells to drives: claims what was rung for and keeps the drives of this worker."""

import asyncio
import logging
from collections.abc import Callable

from bursar.clock import monotonic_s
from bursar.errors import StoreUnavailable
from bursar.failpoints import failpoint
from bursar.ids import new_secret
from bursar.leases import Claimed, ClaimRefused
from bursar.queue import Bell
from bursar.store.keys import SessionKeys, parse_ref
from bursar.store.scripts import leases
from bursar.store.scripts.leases import Claimant
from bursar_worker.drive import Drive
from bursar_worker.grace import Grace
from bursar_worker.heartbeat import Heartbeat
from bursar_worker.kit import Kit

__all__ = ["Dispatcher"]

_ABANDON_S = 5.0  # for abandoned steps to be written down, at the end of a drain
_CLAIM_AGAIN_S = 0.05

logger = logging.getLogger(__name__)


class Dispatcher:
    """Keeps the drives of one worker."""

    def __init__(self, kit: Kit, heartbeat: Heartbeat, grace: Grace) -> None:
        self._kit = kit
        self._grace = grace
        self._heartbeat = heartbeat
        self.on_room: Callable[[], None] = lambda: None
        """Called whenever there may be room for another drive."""
        self._drives: dict[str, Drive] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._claiming: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, Bell] = {}
        """Bells that came in although all slots are taken, in order."""
        self._suspects: dict[str, Bell] = {}
        """Bells of sessions that may have taken down two workers: driven one at a time."""
        self._suspect = ""
        self._again: set[str] = set()
        self._lesser: set[str] = set()
        """Sessions of the background that were rung for, until they are let go."""
        self._draining = False
        self._claimant = Claimant(kit.worker_id, tuple(sorted(kit.agents)), kit.settings.lease_ms)

    @property
    def busy(self) -> int:
        return len(self._tasks) + len(self._claiming)

    def room(self) -> tuple[int, int]:
        """Bells that can be answered at once, and how many of them may be of the background.

        A part of the slots is for people who wait: background work does not fill those.
        """
        settings = self._kit.settings
        free = 0 if self._draining else settings.slots - self.busy - len(self._waiting)
        kept = min(settings.interactive_slots, settings.slots // 4)
        return max(0, free), max(0, min(free, settings.slots - kept - len(self._lesser)))

    def hear(self, bell: Bell) -> None:
        """Answer a bell: now, or as soon as a slot is free.

        A session that is gone, idle, held or blocked needs nothing: whoever changes that rings.
        """
        ref = bell.ref
        if bell.background:
            self._lesser.add(ref)
        if ref in self._drives:
            # It may be on its way out already; then the session is claimed anew after it.
            self._again.add(ref)
            self._drives[ref].look()
        elif ref in self._claiming:
            return
        elif self._draining or self.busy >= self._kit.settings.slots:
            self._waiting[ref] = bell
        else:
            # A claim that is under way must be heard to its end, else the session would stay leased
            # to nobody: so it is a task of its own that nothing cancels.
            self._claim_soon(bell, alone=False)

    def _claim_soon(self, bell: Bell, *, alone: bool) -> None:
        claiming = asyncio.get_running_loop().create_task(self._claim(bell, alone=alone))
        self._claiming[bell.ref] = claiming
        claiming.add_done_callback(lambda done: self._claimed(bell.ref, done))

    def _claimed(self, ref: str, claiming: "asyncio.Task[None]") -> None:
        del self._claiming[ref]
        error = claiming.exception()
        if isinstance(error, StoreUnavailable):
            logger.warning("%s: not claimed, the sweeper will ring again: %s", ref, error)
        elif error is not None:
            logger.error("%s: the claim failed", ref, exc_info=error)
        if ref == self._suspect and ref not in self._drives:
            self._suspect = ""
        if ref not in self._drives and ref not in self._suspects:
            self._lesser.discard(ref)
        self._next()

    def _next(self) -> None:
        """A slot may be free: give it to a bell that waits here, or ask for another."""
        if self._waiting and not self._draining and self.busy < self._kit.settings.slots:
            self.hear(self._waiting.pop(next(iter(self._waiting))))
        if self._suspects and not self._suspect and self.room()[0]:
            self._suspect = next(iter(self._suspects))
            bell = self._suspects.pop(self._suspect)
            if bell.ref in self._drives or bell.ref in self._claiming:
                self._suspect = ""
            else:
                self._claim_soon(bell, alone=True)
        self.on_room()

    async def _claim(self, bell: Bell, *, alone: bool) -> None:
        kit, ref = self._kit, bell.ref
        failpoint("C3")
        claimed_s = monotonic_s()
        claimed = await self._try_to_claim(bell, alone=alone)
        if not isinstance(claimed, Claimed):
            if claimed.status == "suspect":
                self._suspects[ref] = bell
            logger.debug("%s: not claimed, it is %s %s", ref, claimed.status, claimed.detail)
            return
        failpoint("C4")
        if self._draining:
            ring = await leases.release(kit.store, claimed.lease)
            if ring is not None:
                await kit.bells.ring(ring)
            return
        agent = kit.agents.get(claimed.fields["agent"])
        drive = Drive(
            kit, agent, claimed, claimed_s=claimed_s, on_progress=lambda: self._cleared(ref)
        )
        self._start(ref, drive)

    async def _try_to_claim(self, bell: Bell, *, alone: bool) -> Claimed | ClaimRefused:
        """Claim, and claim again with the same owner if the reply was lost: it may be ours."""
        kit, owner = self._kit, new_secret()
        session = self._session(bell.ref)
        deadline = monotonic_s() + kit.settings.lease_ms / 1000
        while True:
            try:
                return await leases.claim(
                    kit.store,
                    session,
                    self._claimant,
                    owner=owner,
                    item=bell.item,
                    take_over=self._grace.is_over,
                    alone=alone,
                )
            except StoreUnavailable as error:
                self._grace.begin(str(error))
                if monotonic_s() > deadline:
                    raise
                await asyncio.sleep(_CLAIM_AGAIN_S)

    def _start(self, ref: str, drive: Drive) -> None:
        self._drives[ref] = drive
        self._heartbeat.add(drive)
        task = asyncio.get_running_loop().create_task(drive.run(), name=f"drive {ref}")
        self._tasks[ref] = task
        task.add_done_callback(lambda _: self._ended(ref, drive))

    def _cleared(self, ref: str) -> None:
        """A session has made progress: whatever took its workers down, it was another one."""
        if ref == self._suspect:
            self._suspect = ""
            self._next()

    def _ended(self, ref: str, drive: Drive) -> None:
        self._heartbeat.remove(drive)
        del self._drives[ref], self._tasks[ref]
        if ref == self._suspect:
            self._suspect = ""
        if ref in self._again:
            self._again.discard(ref)
            self._waiting[ref] = Bell(ref)
        else:
            self._lesser.discard(ref)
        self._next()

    def _session(self, ref: str) -> SessionKeys:
        workspace, sid = parse_ref(ref)
        return self._kit.store.workspace(workspace).session(sid)

    def poke(self, ref: str) -> None:
        """A gateway says that a session that we drive has news."""
        if ref in self._drives:
            self._drives[ref].look()

    async def drain(self, grace_s: float) -> None:
        """Take nothing new, let running steps end, and hand every session back."""
        self._draining = True
        if self._claiming:
            await asyncio.wait(list(self._claiming.values()))
        for drive in self._drives.values():
            drive.drain()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace_s)
        for drive in self._drives.values():
            drive.drain(now=True)
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_ABANDON_S)
        await self._pass_on()

    async def _pass_on(self) -> None:
        """Bells that waited here for a slot are rung again: others have one, and now."""
        for ref in self._waiting:
            ring = await leases.ring_of(self._kit.store, self._session(ref))
            if ring is not None:
                await self._kit.bells.ring(ring)
