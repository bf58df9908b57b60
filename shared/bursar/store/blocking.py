"""Blocking reads of lists, on a connection of their own.

On a shared connection a blocking read would hold up everybody behind it.
"""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Connection
from redis.exceptions import RedisError

from bursar.store.codec import text
from bursar.store.link import connection_pool, store_error

__all__ = ["BlockingList"]


class BlockingList:
    """Pops from lists and waits while they are empty. One reader at a time.

    Args:
        timeout_s: for connecting, and beyond the wait for an answer: a peer that is gone without a
            word is noticed by that.

    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        pool = connection_pool(url, timeout_s=timeout_s, max_connections=1, per_read=False)
        self._connection: Connection = pool.make_connection()  # type: ignore[no-untyped-call]

    async def pop(self, keys: Sequence[str], wait_s: float) -> tuple[str, bytes] | None:
        """The first item of the first list that has one, with the list's key. None: none came.

        Raises:
            StoreUnavailable: no answer; an item that was on its way is lost.

        """
        connection = self._connection
        try:
            async with asyncio.timeout(wait_s + self._timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("BLPOP", *keys, wait_s, check_health=False)
                reply = await connection.read_response()
        except BaseException as error:
            # A reply that comes later must not be taken for the next one's.
            await connection.disconnect(nowait=True)
            if isinstance(error, (RedisError, OSError, TimeoutError)):
                raise store_error(error) from error
            raise
        return (text(reply[0]), reply[1]) if reply else None

    async def aclose(self) -> None:
        await self._connection.disconnect()
