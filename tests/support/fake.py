"""fakeredis behind Bursar's client, for unit tests that need no server."""

import asyncio
from collections.abc import Mapping, Sequence

from fakeredis import FakeAsyncRedis
from redis.asyncio import Connection

from bursar.store.link import Sent, store_error
from bursar.store.redis import RedisClient
from bursar.store.waiting import Waits

__all__ = ["FakeTransport", "fake_client"]


class FakeTransport:
    """Runs what is sent as one pipeline of fakeredis, in order."""

    connects = 1
    relays = False
    waits: Waits | None = None

    def __init__(self) -> None:
        self.redis = FakeAsyncRedis()
        self._flights: set[asyncio.Task[None]] = set()
        self._turnstile = asyncio.Lock()

    def send(self, commands: Sequence[Sent], *, durably: bool = False) -> None:
        flight = asyncio.get_running_loop().create_task(self._fly(commands))
        self._flights.add(flight)
        flight.add_done_callback(self._flights.discard)

    async def _fly(self, commands: Sequence[Sent]) -> None:
        async with self._turnstile:
            pipeline = self.redis.pipeline(transaction=False)
            for command, _ in commands:
                pipeline.execute_command(*command)
            replies = await pipeline.execute(raise_on_error=False)
        for (_, future), reply in zip(commands, replies, strict=True):
            if isinstance(reply, Exception) and not future.done():
                future.set_exception(store_error(reply))
            elif not future.done():
                future.set_result(reply)

    def at(self, key: str, /) -> "FakeTransport":
        return self

    async def servers(self) -> "Mapping[str, FakeTransport]":
        return {"fakeredis": self}

    def make_connection(self) -> Connection:
        raise NotImplementedError("fakeredis has no connections to give away")

    async def make_connection_at(self, key: str, /) -> Connection:
        return self.make_connection()

    async def aclose(self) -> None:
        await asyncio.gather(*self._flights)
        await self.redis.aclose()


def fake_client() -> RedisClient:
    return RedisClient(FakeTransport(), real=False)
