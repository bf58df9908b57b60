"""A worker process: put together, run until a signal, handed over in good order."""

import asyncio
import contextlib
import logging
import os
import signal
import socket

import uvloop
from arq.connections import ArqRedis

from bursar.agents import Agent, load_agents
from bursar.budgets.pricing import PriceBook
from bursar.clock import wall_ms
from bursar.errors import BursarError, InvalidInput, ModelError, StoreUnavailable
from bursar.gate.pipeline import Gate
from bursar.ids import new_id
from bursar.queue import Bells, connect_queue
from bursar.registry import AgentEntry, Registry, announce, withdraw
from bursar.settings import WorkerSettings, load_settings
from bursar.store.opening import open_store
from bursar.store.store import Store
from bursar_worker.bell_queue import BellQueue
from bursar_worker.control import listen
from bursar_worker.dispatcher import Dispatcher
from bursar_worker.heartbeat import Heartbeat
from bursar_worker.kit import Kit
from bursar_worker.stopping import stop
from bursar_worker.sweeper import Sweeper

__all__ = ["WorkerProcess", "main", "serve"]

_ANNOUNCE_EVERY_S = 5.0

logger = logging.getLogger(__name__)


class WorkerProcess:
    """Everything that runs in one worker, with one way up and one way down."""

    def __init__(
        self, settings: WorkerSettings, store: Store, queue: ArqRedis, agents: dict[str, Agent]
    ) -> None:
        self.id = new_id("wrk")
        registry = Registry(store)
        bells = Bells(store, queue, registry)
        self._settings = settings
        self._store = store
        self._agents = agents
        self._started_ms = wall_ms()
        self._kit = Kit(self.id, settings, store, bells, agents, PriceBook(settings.prices), Gate())
        self._heartbeat = Heartbeat(settings)
        self._bell_queue = BellQueue(settings, queue)
        self._dispatcher = Dispatcher(self._kit, self._heartbeat, self._bell_queue.set_room)
        self._sweeper = Sweeper(self._kit, registry)

    async def run(self, signalled: asyncio.Event) -> None:
        """Serve until ``signalled`` is set, then drain. A part that fails ends the worker."""
        self._warm_up()
        self._heartbeat.start()
        await self._announce()
        logger.info("worker %s serves %s", self.id, ", ".join(sorted(self._agents)))
        parts = [
            asyncio.create_task(self._bell_queue.run(self._dispatcher), name="bells"),
            asyncio.create_task(self._sweeper.run(), name="sweeper"),
            asyncio.create_task(
                listen(self._settings, self.id, self._dispatcher.poke), name="control"
            ),
            asyncio.create_task(self._keep_announced(), name="announce"),
        ]
        stopping = asyncio.create_task(signalled.wait())
        try:
            await asyncio.wait({*parts, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await self._dispatcher.drain(self._settings.drain_s)
        finally:
            await stop(stopping, *parts)
            self._heartbeat.stop()
            with contextlib.suppress(StoreUnavailable):
                await withdraw(self._store, self.id)
        for part in parts:
            if not part.cancelled():
                part.result()

    def _warm_up(self) -> None:
        """Load the providers of the agents' models now: that takes a second of a blocked loop."""
        for agent in self._agents.values():
            try:
                self._kit.model_of(agent, "")
            except ModelError as error:
                logger.warning("agent %s: its turns will fail: %s", agent.name, error)

    async def _keep_announced(self) -> None:
        while True:
            await asyncio.sleep(_ANNOUNCE_EVERY_S)
            try:
                await self._announce()
            except StoreUnavailable as error:
                logger.warning("cannot announce this worker, Redis is away: %s", error)

    async def _announce(self) -> None:
        group = self._settings.group
        worker: dict[str, str | int] = {
            "id": self.id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "group": group,
            "slots": self._settings.slots,
            "busy": self._dispatcher.busy,
            "agents": ",".join(sorted(self._agents)),
            "started_ms": self._started_ms,
        }
        entries = [
            AgentEntry(agent.name, group, agent.manifest_hash, agent.description, agent.model_name)
            for agent in self._agents.values()
        ]
        await announce(self._store, worker, entries)


async def serve(settings: WorkerSettings) -> None:
    agents = load_agents(settings.agents)
    store = await open_store(settings)
    try:
        queue = await connect_queue(settings)
        try:
            signalled = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, signalled.set)
            await WorkerProcess(settings, store, queue, agents).run(signalled)
        finally:
            await queue.aclose(close_connection_pool=True)
    finally:
        await store.aclose()


def main() -> int:
    """Exit status: 0 after a signal, 2 for wrong settings or agents, 1 when it cannot go on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("arq").setLevel(logging.WARNING)
    try:
        uvloop.run(serve(load_settings(WorkerSettings)))
    except BursarError as error:
        logger.error("%s", error)  # noqa: TRY400
        return 2 if isinstance(error, InvalidInput) else 1
    return 0
