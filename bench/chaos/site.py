"""An installation that can be broken: server, gateways and workers, each with ways to go wrong."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from redis.asyncio import Redis

from bench.http import Connection
from bursar.cli.child import Child
from bursar.embedded import EmbeddedServer, free_port
from bursar.store.keys import GlobalKeys

__all__ = ["BrokenSite"]

ROOT = Path(__file__).parents[2]
_READY_S = 30.0


class BrokenSite:
    """Gateways and workers as they ship, and a server that loses nothing it has acknowledged.

    Its append-only file is written before each answer.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 0,
        gateways: int = 2,
        gateway_env: Mapping[str, str] | None = None,
    ) -> None:
        self.key = f"bk_chaos_{secrets.token_hex(8)}"
        self.effects = folder / "effects"
        self.effects.touch()
        self.server = EmbeddedServer(data=folder / "redis", extra=("--appendfsync", "always"))
        self.gateways: list[Child] = []
        self.workers: list[Child] = []
        self.urls: list[str] = []
        self._logs = folder / "logs"
        self._logs.mkdir()
        self._first = (gateways, workers)
        self._gateway_env = dict(gateway_env or {})
        self._started = 0

    async def __aenter__(self) -> Self:
        gateways, workers = self._first
        for _ in range(gateways):
            self.start_gateway()
        for _ in range(workers):
            self.start_worker()
        await self.ready(workers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in [*self.workers, *self.gateways]:
            if child.alive:
                os.kill(child.pid, signal.SIGCONT)
                child.terminate()
        for child in [*self.workers, *self.gateways]:
            await asyncio.to_thread(child.wait, 15)
        self.server.stop()

    def redis(self, db: int = 0) -> Redis:
        return Redis(port=self.server.port, db=db)

    def start_gateway(self, env: Mapping[str, str] | None = None) -> Child:
        port = free_port()
        own = {"BURSAR_PORT": str(port), "BURSAR_API_KEY": self.key}
        own |= self._gateway_env | dict(env or {})
        child = self._child(f"gateway-{port}", "bursar_gateway", own)
        self.gateways.append(child)
        self.urls.append(f"http://127.0.0.1:{port}")
        return child

    def start_worker(self, env: Mapping[str, str] | None = None) -> Child:
        own = {"BURSAR_AGENTS": "bench.chaos.agents", **(env or {})}
        self._started += 1
        child = self._child(f"worker-{self._started}", "bursar_worker", own)
        self.workers.append(child)
        return child

    def _child(self, name: str, module: str, env: Mapping[str, str]) -> Child:
        settings = {
            "BURSAR_REDIS_URL": self.server.url,
            "CHAOS_EFFECTS": str(self.effects),
            "PYTHONPATH": str(ROOT),
        }
        child = Child(
            name,
            [sys.executable, "-m", module],
            {**os.environ, **settings, **env},
            self._logs / f"{name}.log",
        )
        child.start()
        return child

    async def ready(self, workers: int) -> None:
        """Wait until all gateways answer, and so many workers are announced."""
        async with asyncio.timeout(_READY_S):
            for url in self.urls:
                while not await self._answers(url):
                    await asyncio.sleep(0.05)
            async with self.redis() as redis:
                while await redis.zcard(GlobalKeys.workers) < workers:
                    await asyncio.sleep(0.05)

    async def _answers(self, url: str) -> bool:
        connection = Connection(url, self.key)
        try:
            return (await connection.exchange("GET", "/readyz"))[0] == 200
        except OSError:
            return False
        finally:
            await connection.aclose()

    def forget(self, child: Child) -> None:
        """End a process for good."""
        child.kill()
        if child in self.gateways:
            del self.urls[self.gateways.index(child)]
            self.gateways.remove(child)
        else:
            self.workers.remove(child)

    # -- what goes wrong

    async def pause(self, child: Child, seconds: float) -> None:
        """Stop a process for longer than a lease, then let it go on."""
        if child.alive:
            os.kill(child.pid, signal.SIGSTOP)
            await asyncio.sleep(seconds)
        if child.alive:
            os.kill(child.pid, signal.SIGCONT)

    async def restart_gateway(self, gateway: Child) -> None:
        gateway.kill()
        await asyncio.sleep(0.2)
        gateway.start()

    async def restart_server(self) -> None:
        self.server.kill()
        await asyncio.sleep(0.3)
        await asyncio.to_thread(self.server.start)

    async def flush_queue(self) -> None:
        async with self.redis(db=1) as queue:
            await queue.flushdb()

    def logs(self) -> list[Path]:
        """Of all processes that ever ran."""
        return sorted(self._logs.iterdir())
