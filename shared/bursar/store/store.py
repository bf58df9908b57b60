"""The store: one client, the installation's facts, and how a script is run."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from redis.exceptions import NoScriptError

from bursar.settings import Settings
from bursar.store.codec import text
from bursar.store.keys import WorkspaceKeys
from bursar.store.redis import Arg, RedisClient
from bursar.store.scripts.loader import Script

__all__ = ["Store"]


class Store:
    """What every domain function takes first.

    Args:
        generation: number of this data set; it changes when the store lost data, so that cursors
            from before are recognised.
        real: False on fakeredis, which does not know the ``#!lua`` line.

    """

    def __init__(
        self,
        redis: RedisClient,
        settings: Settings,
        *,
        generation: int,
        pepper: str,
        real: bool = True,
    ) -> None:
        self.redis = redis
        self.settings = settings
        self.generation = generation
        self.pepper = pepper
        self.real = real
        self.workspace = lru_cache(maxsize=4096)(self._workspace_keys)

    def _workspace_keys(self, workspace: str) -> WorkspaceKeys:
        return WorkspaceKeys(workspace, self.settings.shards)

    async def run(self, script: Script, keys: Sequence[str], args: Iterable[Any]) -> list[Any]:
        """Run a script; the reply's first item is its status word, as text.

        A server that restarted has forgotten the script: it is loaded and run once more, which is
        safe because NOSCRIPT means that nothing ran.
        """
        command: tuple[Arg, ...] = (
            "EVALSHA",
            script.sha(shebang=self.real),
            len(keys),
            *keys,
            *args,
        )
        try:
            reply = await self.redis.call(*command)
        except NoScriptError:
            await self.redis.call("SCRIPT", "LOAD", script.text(shebang=self.real))
            reply = await self.redis.call(*command)
        reply[0] = text(reply[0])
        return list(reply)

    async def aclose(self) -> None:
        await self.redis.aclose()
