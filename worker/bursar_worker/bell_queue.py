"""The arq side of a worker: hears bells and hands them to the dispatcher.

A queue job ends as soon as the session is claimed, so arq's timeouts and retries never touch a
turn.
"""

import asyncio
import logging
from typing import Any

from arq.connections import ArqRedis
from arq.worker import Retry, Worker, func
from redis.exceptions import RedisError

from bursar.errors import StoreUnavailable
from bursar.queue import CLASSES, decode_job, encode_job, queue_name
from bursar.settings import WorkerSettings
from bursar.store.redis import store_error
from bursar_worker.dispatcher import Dispatcher
from bursar_worker.stopping import stop

__all__ = ["BellQueue", "drive"]

_JOB_TIMEOUT_S = 15
_MAX_TRIES = 100_000  # a bell that finds no free slot waits its turn; it is not a failure

logger = logging.getLogger(__name__)


async def drive(ctx: dict[Any, Any], ref: str) -> None:
    """The job: answer one bell, or ask arq to bring it again when a slot may be free."""
    dispatcher: Dispatcher = ctx["dispatcher"]
    if not await dispatcher.accept(ref):
        raise Retry(defer=ctx["poll_delay_s"])


class BellQueue:
    """One arq worker for each class of bells; they share the process's drive slots."""

    def __init__(self, settings: WorkerSettings, queue: ArqRedis) -> None:
        self._settings = settings
        self._queue = queue
        self._workers: list[Worker] = []
        self._room = True

    def set_room(self, room: bool) -> None:
        """Pick bells only while a drive slot is free; others may have one."""
        self._room = room
        for worker in self._workers:
            worker.allow_pick_jobs = room

    async def run(self, dispatcher: Dispatcher) -> None:
        """Serve until cancelled."""
        serving = [asyncio.create_task(self._serve(kind, dispatcher)) for kind in CLASSES]
        try:
            await asyncio.gather(*serving)
        finally:
            await stop(*serving)

    async def _serve(self, kind: str, dispatcher: Dispatcher) -> None:
        """Run arq's worker; one that fell over with Redis is replaced when Redis is back."""
        while True:
            worker = self._make(kind, dispatcher)
            self._workers.append(worker)
            try:
                await worker.async_run()
            except (TimeoutError, RedisError, OSError) as error:
                translated = store_error(error)
                if not isinstance(translated, StoreUnavailable):
                    raise translated from error
                logger.warning("the queue is away, trying again: %s", error)
                await asyncio.sleep(0.5)
            finally:
                self._workers.remove(worker)
                await stop(*worker.tasks.values())

    def _make(self, kind: str, dispatcher: Dispatcher) -> Worker:
        worker = Worker(
            functions=[func(drive, keep_result=0, timeout=_JOB_TIMEOUT_S, max_tries=_MAX_TRIES)],
            queue_name=queue_name(self._settings.group, kind),
            redis_pool=self._queue,
            handle_signals=False,
            max_jobs=self._settings.slots,
            poll_delay=self._settings.poll_delay_s,
            keep_result=0,
            log_results=False,
            job_serializer=encode_job,
            job_deserializer=decode_job,
            ctx={"dispatcher": dispatcher, "poll_delay_s": self._settings.poll_delay_s},
        )
        worker.allow_pick_jobs = self._room
        return worker
