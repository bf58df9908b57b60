"""What one gateway lets in: inputs while the installation keeps up, streams while there is room.

Caps of a workspace and of a session are checked in the script that accepts an input; these here
are about all workspaces together and about this process.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bursar.clock import monotonic_s
from bursar.errors import LimitReached, StoreUnavailable
from bursar.settings import GatewaySettings
from bursar.store.keys import ShardKeys
from bursar.store.store import Store

__all__ = ["Admission"]

_COUNT_EVERY_S = 1.0
_RETRY_AFTER_S = 5


class Admission:
    """Counts for one process."""

    def __init__(self, store: Store, settings: GatewaySettings) -> None:
        self._store = store
        self._settings = settings
        self._shards = [ShardKeys(number) for number in range(settings.shards)]
        self._queued = 0
        self._counted_s = float("-inf")
        self._streams: Counter[str] = Counter()

    @property
    def streams(self) -> int:
        """Open streams of this process."""
        return self._streams.total()

    async def admit_input(self) -> None:
        """Raises `LimitReached` (``overloaded``) while too many turns wait for their start.

        They are counted once a second, so for that long more may come in than the cap says.
        """
        if monotonic_s() - self._counted_s > _COUNT_EVERY_S:
            self._counted_s = monotonic_s()
            calls = [
                self._store.redis.call("HGET", shard.stats, "turns:queued")
                for shard in self._shards
            ]
            counts = await asyncio.gather(*calls, return_exceptions=True)
            self._queued = sum(_known(count) for count in counts)
        cap = self._settings.max_queued_total
        if self._queued >= cap:
            raise LimitReached(
                f"this installation has reached its cap of {cap} queued turns",
                code="overloaded",
                retry_after_s=_RETRY_AFTER_S,
            )

    @contextmanager
    def streaming(self, key: str) -> Iterator[None]:
        """Counts a stream of a key, from before it is opened until it is closed.

        Raises:
            LimitReached: this process has no room for one (``too_many_streams``).

        """
        if self.streams >= self._settings.max_streams:
            raise self._full("this gateway", self._settings.max_streams)
        if self._streams[key] >= self._settings.max_streams_a_key:
            raise self._full("this key", self._settings.max_streams_a_key)
        self._streams[key] += 1
        try:
            yield
        finally:
            self._streams[key] -= 1
            if not self._streams[key]:
                del self._streams[key]

    @staticmethod
    def _full(whose: str, cap: int) -> LimitReached:
        return LimitReached(
            f"{whose} has reached its cap of {cap} open streams",
            code="too_many_streams",
            retry_after_s=_RETRY_AFTER_S,
        )


def _known(count: Any) -> int:
    """A node of a Cluster that is away must not keep the inputs of others out."""
    if isinstance(count, StoreUnavailable):
        return 0
    if isinstance(count, BaseException):
        raise count
    return int(count or 0)
