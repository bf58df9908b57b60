"""A worker process: put together, run until a signal, handed over in good order."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from typing import Any

import uvloop
from arq.worker import func

from bursar import failpoints
from bursar.agents import Agent, load_agents
from bursar.budgets.pricing import PriceBook
from bursar.clock import wall_ms
from bursar.errors import BursarError, InvalidInput, ModelError, StoreUnavailable
from bursar.gate.pipeline import Gate
from bursar.ids import new_id
from bursar.inbox import Inputs
from bursar.queue import (
    Bell,
    Bells,
    arq_pool,
    connect_queue,
    decode_job,
    encode_job,
    queue_name,
)
from bursar.registry import AgentEntry, Registry, announce, withdraw
from bursar.settings import WorkerSettings, load_settings
from bursar.store.blocking import BlockingList
from bursar.store.keys import PRIORITIES
from bursar.store.opening import open_store
from bursar.store.redis import RedisClient
from bursar.store.store import Store
from bursar.store.topology import Topology
from bursar_worker.control import listen
from bursar_worker.dispatcher import Dispatcher
from bursar_worker.grace import Grace
from bursar_worker.heartbeat import Heartbeat
from bursar_worker.kit import Kit
from bursar_worker.mcp import McpTools
from bursar_worker.queue import QueueWorker
from bursar_worker.snapshots import SnapshotReader
from bursar_worker.stopping import stop
from bursar_worker.sweeper import Sweeper
from bursar_worker.transcript import TranscriptReader

__all__ = ["WorkerProcess", "main", "serve"]

_ANNOUNCE_EVERY_S = 5.0

logger = logging.getLogger(__name__)


class WorkerProcess:
    """Everything that runs in one worker, with one way up and one way down."""

    def __init__(
        self, settings: WorkerSettings, store: Store, queue: RedisClient, agents: dict[str, Agent]
    ) -> None:
        self.id = new_id("wrk")
        registry = Registry(store)
        bells = Bells(store, queue, registry)
        self._settings = settings
        self._store = store
        self._agents = agents
        self._started_ms = wall_ms()
        self._kit = Kit(
            worker_id=self.id,
            settings=settings,
            store=store,
            registry=registry,
            bells=bells,
            inputs=Inputs(store, registry, bells),
            agents=agents,
            prices=PriceBook(settings.prices),
            gate=Gate(),
            transcripts=TranscriptReader(
                store,
                max_history_bytes=settings.history_max_bytes,
                max_kept_bytes=settings.history_cache_bytes,
            ),
            snapshots=SnapshotReader(store),
            mcp=McpTools(store, settings, worker_id=self.id),
        )
        self._heartbeat = Heartbeat(settings)
        self._grace = Grace(settings.lease_ms)
        self._dispatcher = Dispatcher(self._kit, self._heartbeat, self._grace)
        self._queue_worker = _queue_worker(settings, queue, self._dispatcher)
        self._dispatcher.on_room = self._queue_worker.made_room
        self._sweeper = Sweeper(self._kit, registry, self._grace, self._dispatcher.hear)

    async def run(self, signalled: asyncio.Event) -> None:
        """Serve until ``signalled`` is set, then drain. A part that fails ends the worker."""
        self._warm_up()
        self._heartbeat.start()
        await self._await_old_drives()
        await self._announce()
        logger.info("worker %s serves %s", self.id, ", ".join(sorted(self._agents)))
        parts = [
            asyncio.create_task(self._queue_worker.async_run(), name="queue"),
            asyncio.create_task(self._sweeper.run(), name="sweeper"),
            asyncio.create_task(
                listen(self._store, self.id, self._dispatcher.poke), name="control"
            ),
            asyncio.create_task(self._keep_announced(), name="announce"),
        ]
        stopping = asyncio.create_task(signalled.wait())
        try:
            await asyncio.wait({*parts, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await self._dispatcher.drain(self._settings.drain_s)
        finally:
            await stop(stopping, *parts)
            await self._queue_worker.close()
            await self._kit.mcp.close()
            self._heartbeat.stop()
            with contextlib.suppress(StoreUnavailable):
                await withdraw(self._store, self.id)
        for part in parts:
            if not part.cancelled():
                part.result()

    async def _await_old_drives(self) -> None:
        """On a server that has just come back, drives that were cut off from it are to go on."""
        if Topology.parse(self._settings.redis_url).kind != "standalone":
            # A replica that was promoted a moment ago looks like one that has long been primary.
            self._grace.begin("the primary may have just changed")
            return
        server = await self._store.redis.call("INFO", "server")
        if int(server.get("uptime_in_seconds", 0)) * 1000 < self._settings.lease_ms:
            self._grace.begin("Redis has just started")

    def _warm_up(self) -> None:
        """Load what the agents' models and servers need: that takes a second of a blocked loop."""
        self._kit.mcp.load(self._agents.values())
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
            AgentEntry(
                agent.name,
                group,
                agent.manifest_hash,
                agent.description,
                agent.model_name,
                policy=agent.policy.to_dict(),
                hooks=agent.hook_names,
            )
            for agent in self._agents.values()
        ]
        await announce(self._store, worker, entries)


async def _drive(ctx: dict[Any, Any], ref: str) -> None:
    """The arq job "this session is ready": how a bell of a plain arq producer gets here."""
    ctx["dispatcher"].hear(Bell(ref))


def _queue_worker(
    settings: WorkerSettings, client: RedisClient, dispatcher: Dispatcher
) -> QueueWorker:
    interactive, background = (queue_name(settings.group, each) for each in PRIORITIES)
    return QueueWorker(
        [func(_drive, name="drive", keep_result=0)],
        queues=(interactive, background),
        client=client,
        bells=BlockingList(client, timeout_s=settings.redis_timeout_s),
        on_bell=lambda queue, job_id: dispatcher.hear(
            Bell.parse(job_id, background=queue == background)
        ),
        room=dispatcher.room,
        redis_pool=arq_pool(settings, max_connections=4),
        handle_signals=False,
        keep_result=0,
        job_serializer=encode_job,
        job_deserializer=decode_job,
        ctx={"dispatcher": dispatcher},
    )


async def serve(settings: WorkerSettings) -> None:
    failpoints.arm(settings)
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
            await queue.aclose()
    finally:
        await store.aclose()


def main() -> int:
    """Exit status: 0 after a signal, 2 for wrong settings or agents, 1 when it cannot go on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("arq").setLevel(logging.WARNING)
    for library in ("client", "httpx2", "mcp"):
        # What goes wrong with MCP servers is told once, and without secrets, by our own code.
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        uvloop.run(serve(load_settings(WorkerSettings)))
    except BursarError as error:
        logger.error("%s", error)  # noqa: TRY400
        return 2 if isinstance(error, InvalidInput) else 1
    return 0
