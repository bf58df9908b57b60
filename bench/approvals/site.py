"""An installation with people who are asked, all of which can be killed."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.chaos.site import BrokenSite
from bursar.cli.child import Child

__all__ = ["AskingSite"]

_PATIENT_S = "3600"  # no question's time is over before the benchmark is


class AskingSite(BrokenSite):
    """Gateways and workers as they ship, on one server.

    Args:
        strict: what is acknowledged is on disk; otherwise within a second, profile ``standard``.
        plant: a bug of `bench.plants` in every process.
        agents: modules that the workers serve.

    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 0,
        gateways: int = 2,
        strict: bool = True,
        plant: str = "",
        agents: str = "bench.approvals.agents",
        env: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, workers=workers, gateways=gateways)
        self._plant = plant
        self._strict = strict
        self._env = {
            "BURSAR_AGENTS": agents,
            "BURSAR_DURABILITY": "strict" if strict else "standard",
            "BURSAR_WAIT_REPLICAS": "0",
            "BURSAR_APPROVAL_TIMEOUT_S": _PATIENT_S,
            **(env or {}),
        }

    async def __aenter__(self) -> Self:
        if not self._strict:
            async with self.redis() as redis:
                await redis.config_set("appendfsync", "everysec")
        return await super().__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Nothing that comes after this is looked at, so nobody has to wait for a drain.
        for child in [*self.workers, *self.gateways]:
            child.kill()
        await super().__aexit__(kind, error, trace)

    def _child(self, name: str, module: str, env: Mapping[str, str]) -> Child:
        wanted = {**env, **self._env}
        if self._plant:
            wanted |= {"BENCH_PLANT": self._plant, "BENCH_MODULE": module}
            module = "bench.planted_process"
        return super()._child(name, module, wanted)

    def change(self, env: Mapping[str, str]) -> None:
        """Processes that are started anew from now on have these variables, too."""
        self._env |= env

    async def kill_all(self, chance: random.Random) -> None:
        """Every process and the server, in any order, each without a chance to say good-bye."""
        children = [*self.workers, *self.gateways]
        chance.shuffle(children)
        cut = chance.randrange(len(children) + 1)
        for child in children[:cut]:
            child.kill()
        self.server.kill()
        for child in children[cut:]:
            child.kill()

    def kill_workers(self) -> None:
        """They do not come back; `start_worker` starts others."""
        for worker in list(self.workers):
            self.forget(worker)

    async def restart(self, *, workers: int) -> None:
        """The server on what it has on disk, the gateways, and so many new workers."""
        if self.server.process is None:
            await asyncio.to_thread(self.server.start)
        self.kill_workers()
        for gateway in self.gateways:
            if not gateway.alive:
                gateway.start()
        for _ in range(workers):
            self.start_worker()
        await self.ready(workers)
