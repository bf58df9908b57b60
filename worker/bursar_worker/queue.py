"""An arq worker that hears a bell in a millisecond instead of polling for it.

What is arq's stays arq's: its jobs, hooks, cron, retries, aborts and producers work as they are.
Three things are different. Waiting: producers of Bursar leave a token on a doorbell list that an
idle worker blocks on; jobs of a plain `ArqRedis` are found within a second. Claiming: one script
takes as many jobs as there is room for, so long jobs at the head of the queue hide nothing. Bells:
jobs whose loss costs nothing are gone with their claim and take no part in arq's bookkeeping.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from arq.worker import Worker
from redis.exceptions import RedisError

from bursar.errors import StoreUnavailable
from bursar.store.blocking import BlockingList
from bursar.store.codec import text
from bursar.store.redis import RedisClient
from bursar.store.scripts.queue import BELL, QueuedJob, claim_jobs, doorbell

__all__ = ["QueueWorker"]

_WAIT_S = 1.0  # how long a lost token, or a job of a plain arq producer, may stay unseen
_BACKOFF_S = (0.1, 2.0)
_URGENT_ONLY_S = 0.1  # how long only urgent tokens are listened for, while there may be room again
_SETTLE_S = 0.002  # a claim after a token waits for so long: what came with it is taken at once
_FAVOUR_EVERY = 4  # of so many claims one serves the other queue first, so that it is not starved

logger = logging.getLogger(__name__)


class QueueWorker(Worker):
    """Serves two queues, the urgent one first.

    Args:
        queues: names of the urgent queue and of the other one. The first is arq's ``queue_name``.
        client: for claims, on the same database as the pool among arq's own options.
        bells: connection for waiting; the worker closes it.
        on_bell: called with the queue and the id of each bell that was claimed.
        room: how many jobs may be claimed now, and how many of the other queue; by default arq's
            free ``max_jobs`` for both. Whoever makes room calls `made_room`.
        options: arq's own.

    """

    def __init__(
        self,
        functions: Sequence[Any],
        *,
        queues: tuple[str, str],
        client: RedisClient,
        bells: BlockingList,
        on_bell: Callable[[str, str], None] | None = None,
        room: Callable[[], tuple[int, int]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(functions, queue_name=queues[0], poll_delay=0, **options)
        self._queues = queues
        self._doorbells = [doorbell(name) for name in queues]
        self._client = client
        self._bells = bells
        self._on_bell = on_bell
        self._room = room or (lambda: (self.max_jobs - self.job_counter,) * 2)
        self._popping: asyncio.Task[tuple[str, bytes] | None] | None = None
        self._urgent_only = False
        self._made_room = asyncio.Event()
        self._claimed: dict[str, QueuedJob] = {}
        self._claims = 0
        self._heard = ""
        self._backoff_s = _BACKOFF_S[0]

    def made_room(self) -> None:
        """Wake the worker: it may claim again."""
        self._made_room.set()

    async def _poll_iteration(self) -> None:
        """One round: claim, look after what runs, wait. arq calls it for ever."""
        try:
            wait_s = await self._claim()
            self._look_after_tasks()
            if self.allow_abort_jobs:
                await self._cancel_aborted_jobs()
            await self.heart_beat()
            await self._wait(wait_s)
        except (StoreUnavailable, RedisError, OSError, TimeoutError) as error:
            logger.warning("the queue is away, trying again: %s", error)
            await asyncio.sleep(self._backoff_s)
            self._backoff_s = min(2 * self._backoff_s, _BACKOFF_S[1])
        else:
            self._backoff_s = _BACKOFF_S[0]

    async def _claim(self) -> float:
        """Start what is due and fits; returns how long nothing else will be due."""
        room, room_other = self._room() if self.allow_pick_jobs else (0, 0)
        if self.burst and self.max_burst_jobs >= 0:
            room = min(room, self.max_burst_jobs - self._jobs_started())
        self._made_room.clear()
        if room <= 0 and not self._heard:
            return _WAIT_S
        self._claims += 1
        heard, self._heard = self._heard, ""
        claimed = await claim_jobs(
            self._client,
            self._queues,
            heard=heard,
            room=max(room, 0),
            room_other=max(room_other, 0),
            favour=int(self._claims % _FAVOUR_EVERY == 0),
            in_progress_ms=int(self.in_progress_timeout_s * 1000),
        )
        for job in claimed.jobs:
            if self._on_bell is not None and job.id.startswith(BELL):
                self._on_bell(job.queue, job.id)
            else:
                self._start(job)
        return min(_WAIT_S, _WAIT_S if claimed.next_ms is None else claimed.next_ms / 1000)

    def _start(self, job: QueuedJob) -> None:
        """As the end of arq's `start_jobs`; the claim did the rest."""
        self._claimed[job.id] = job
        self.job_counter += 1
        task = asyncio.get_running_loop().create_task(self.run_job(job.id, job.score))
        task.add_done_callback(lambda _: self._ended(job.id))
        self.tasks[job.id] = task

    def _ended(self, job_id: str) -> None:
        del self._claimed[job_id]
        self.job_counter -= 1
        self.made_room()

    def _look_after_tasks(self) -> None:
        for job_id, task in list(self.tasks.items()):
            if not task.done():
                continue
            del self.tasks[job_id]
            error = None if task.cancelled() else task.exception()
            if isinstance(error, (RedisError, OSError, TimeoutError)):
                # Its end is not recorded, so it runs again when its time in progress is over.
                logger.warning("job %s: the queue was away at its end: %s", job_id, error)
            elif error is not None:
                raise error

    async def _wait(self, wait_s: float) -> None:
        room, room_other = self._room() if self.allow_pick_jobs else (0, 0)
        if self.burst:
            if self.tasks:
                await asyncio.wait(self.tasks.values(), timeout=0.05)
        elif room > 0:
            await self._listen(wait_s, urgent_only=room_other <= 0)
        else:
            await self._until_room(wait_s)

    async def _until_room(self, wait_s: float) -> None:
        """Wait for room. A token that was listened for before and comes now goes to others."""
        made_room = asyncio.create_task(self._made_room.wait())
        waits = {made_room} if self._popping is None else {made_room, self._popping}
        try:
            await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            made_room.cancel()
        if self._popping is not None and self._popping.done():
            popping, self._popping = self._popping, None
            if token := popping.result():
                await self._client.call("LPUSH", *token)

    async def _listen(self, wait_s: float, *, urgent_only: bool) -> None:
        """Wait for a token. One for which there is no room is left to other workers."""
        if self._popping is None:
            self._urgent_only = urgent_only
            doorbells = self._doorbells[:1] if urgent_only else self._doorbells
            # Redis takes 0 for "for ever".
            for_s = max(min(wait_s, _URGENT_ONLY_S) if urgent_only else wait_s, 0.001)
            self._popping = asyncio.create_task(self._bells.pop(doorbells, for_s))
        if self._urgent_only:
            made_room = asyncio.create_task(self._made_room.wait())
            await asyncio.wait({self._popping, made_room}, return_when=asyncio.FIRST_COMPLETED)
            made_room.cancel()
            if not self._popping.done():
                return
        popping = self._popping
        try:
            token = await popping
        finally:
            self._popping = None
        if token and self._on_bell is not None and token[1].startswith(BELL.encode()):
            # The claim, which would name it too, must not get in its way.
            self._heard = text(token[1])
            queue = self._queues[self._doorbells.index(token[0])]
            self._on_bell(queue, self._heard)
            await asyncio.sleep(_SETTLE_S)

    async def finish_job(
        self,
        job_id: str,
        finish: bool,
        result_data: bytes | None,
        result_timeout_s: float | None,
        keep_result_forever: bool,
        incr_score: int | None,
        keep_in_progress: float | None,
    ) -> None:
        """As arq's, for the queue that the job is of; and one that runs again is due when arq says.

        arq leaves a running job due and adds to its score; a claim has moved it out of the way.
        """
        job = self._claimed[job_id]
        await super().finish_job(
            job_id,
            finish,
            result_data,
            result_timeout_s,
            keep_result_forever,
            None,
            keep_in_progress,
        )
        if finish:
            await self.pool.zrem(job.queue, job_id)
        else:
            await self.pool.zadd(job.queue, {job_id: job.score + (incr_score or 0)}, xx=True)

    async def finish_failed_job(self, job_id: str, result_data: bytes | None) -> None:
        await super().finish_failed_job(job_id, result_data)
        await self.pool.zrem(self._claimed[job_id].queue, job_id)

    async def close(self) -> None:
        """As arq's, also when the queue is away. Running jobs go back into the queue."""
        if self._popping is not None:
            self._popping.cancel()
            await asyncio.wait({self._popping})
        await self._bells.aclose()
        for task in self.job_tasks.values():
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks.values())
            self._look_after_tasks()
        try:
            await super().close()
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("the queue is away at this worker's end: %s", error)
            await self.pool.aclose(close_connection_pool=True)
