"""What one gateway lets in: inputs while the installation keeps up, streams while there is room.

Caps of a workspace and of a session are checked in the script that accepts an input; these here
are about all workspaces together and about this process.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bursar.clock import monotonic_s
from bursar.errors import LimitReached
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
            self._queued = sum([int(await call or 0) for call in calls])
        if self._queued >= self._settings.max_queued_total:
            raise LimitReached(
                f"{self._queued} turns are queued in this installation already",
                code="overloaded",
                retry_after_s=_RETRY_AFTER_S,
            )

    def admit_stream(self, key: str) -> None:
        """Raises `LimitReached` (``too_many_streams``) when this process has no room for one."""
        if self.streams >= self._settings.max_streams:
            raise self._full("this gateway", self._settings.max_streams)
        if self._streams[key] >= self._settings.max_streams_a_key:
            raise self._full("this key", self._settings.max_streams_a_key)

    @contextmanager
    def streaming(self, key: str) -> Iterator[None]:
        """Counts a stream of a key while it is open."""
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
            f"{whose} has {cap} open streams already",
            code="too_many_streams",
            retry_after_s=_RETRY_AFTER_S,
        )
