"""Listens for pokes: a gateway names a session that this worker drives and that has news."""

import asyncio
import logging
from collections.abc import Callable

from redis.exceptions import RedisError

from bursar.settings import WorkerSettings
from bursar.store.codec import text
from bursar.store.keys import GlobalKeys
from bursar.store.redis import connect

__all__ = ["listen"]

_WAIT_S = 5

logger = logging.getLogger(__name__)


async def listen(settings: WorkerSettings, worker_id: str, poke: Callable[[str], None]) -> None:
    """Run until cancelled. Losing a poke costs at most one heartbeat.

    A connection of its own: a blocking read on a shared one would hold up everybody else.
    """
    redis = connect(
        settings.redis_url, timeout_s=_WAIT_S + settings.redis_timeout_s, max_connections=1
    )
    try:
        while True:
            try:
                popped = await redis.blpop([GlobalKeys.control(worker_id)], timeout=_WAIT_S)  # type: ignore[misc]
            except (TimeoutError, RedisError, OSError) as error:
                logger.warning("the control list cannot be read: %s", error)
                await asyncio.sleep(1)
                continue
            if popped:
                poke(text(popped[1]))
    finally:
        await redis.aclose()
