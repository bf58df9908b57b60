"""The store: one client, the installation's facts, and how a script is run."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from bursar.settings import Settings
from bursar.store.keys import WorkspaceKeys
from bursar.store.redis import RedisClient
from bursar.store.scripts.loader import Script

__all__ = ["Store"]


class Store:
    """What every domain function takes first.

    Args:
        generation: number of this data set; it changes when the store lost data, so that cursors
            from before are recognised.

    """

    def __init__(
        self,
        redis: RedisClient,
        settings: Settings,
        *,
        generation: int,
        pepper: str,
    ) -> None:
        self.redis = redis
        self.settings = settings
        self.generation = generation
        self.pepper = pepper
        self.workspace = lru_cache(maxsize=4096)(self._workspace_keys)

    def _workspace_keys(self, workspace: str) -> WorkspaceKeys:
        return WorkspaceKeys(workspace, self.settings.shards)

    async def run(
        self, script: Script, keys: Sequence[str], args: Iterable[Any], *, durably: bool = False
    ) -> list[Any]:
        """As `RedisClient.run`."""
        return await self.redis.run(script, keys, args, durably=durably)

    async def aclose(self) -> None:
        await self.redis.aclose()
