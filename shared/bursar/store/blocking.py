"""Blocking reads of lists, on a connection of their own.

On a shared connection a blocking read would hold up everybody behind it.
"""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Connection
from redis.exceptions import RedisError

from bursar.errors import BursarError, StoreUnavailable
from bursar.store.codec import text
from bursar.store.link import store_error
from bursar.store.redis import RedisClient
from bursar.store.slots import Redirect

__all__ = ["BlockingList"]


class BlockingList:
    """Pops from lists and waits while they are empty. One reader at a time.

    Args:
        client: knows the way to the server of the lists.
        timeout_s: for connecting, and beyond the wait for an answer: a peer that is gone without a
            word is noticed by that.

    """

    def __init__(self, client: RedisClient, *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._connection: Connection | None = None

    async def pop(self, keys: Sequence[str], wait_s: float) -> tuple[str, bytes] | None:
        """The first item of the first list that has one, with the list's key. None: none came.

        Raises:
            StoreUnavailable: no answer; an item that was on its way is lost.

        """
        try:
            async with asyncio.timeout(wait_s + self._timeout_s):
                if self._connection is None:
                    # Asked for each time anew: the server may be another one by now.
                    self._connection = await self._client.make_connection_at(keys[0])
                connection = self._connection
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("BLPOP", *keys, wait_s, check_health=False)
                reply = await connection.read_response()
        except BaseException as error:
            # A reply that comes later must not be taken for the next one's.
            await self._drop(nowait=True)
            if isinstance(error, RedisError | OSError | TimeoutError):
                raise _unavailable(error) from error
            raise
        return (text(reply[0]), reply[1]) if reply else None

    async def _drop(self, *, nowait: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=nowait)

    async def aclose(self) -> None:
        await self._drop()


def _unavailable(error: Exception) -> Exception:
    translated = store_error(error)
    if isinstance(translated, BursarError) or Redirect.of(error) is None:
        return translated
    return StoreUnavailable(f"the list has moved to another node: {error}")
