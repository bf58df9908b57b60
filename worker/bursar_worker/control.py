"""Listens for pokes: a gateway names a session that this worker drives and that has news."""

import asyncio
import logging
from collections.abc import Callable

from bursar.errors import StoreUnavailable
from bursar.store.blocking import BlockingList
from bursar.store.codec import text
from bursar.store.keys import GlobalKeys
from bursar.store.store import Store

__all__ = ["listen"]

_WAIT_S = 5

logger = logging.getLogger(__name__)


async def listen(store: Store, worker_id: str, poke: Callable[[str], None]) -> None:
    """Run until cancelled. Losing a poke costs at most one heartbeat."""
    pokes = BlockingList(store.redis, timeout_s=store.settings.redis_timeout_s)
    try:
        while True:
            try:
                popped = await pokes.pop([GlobalKeys.control(worker_id)], _WAIT_S)
            except StoreUnavailable as error:
                logger.warning("the control list cannot be read: %s", error)
                await asyncio.sleep(1)
                continue
            if popped:
                poke(text(popped[1]))
    finally:
        await pokes.aclose()
