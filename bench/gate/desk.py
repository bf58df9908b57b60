"""A worker's gatekeeper by itself: the real one, with all that it needs, and nothing beside."""

import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.trees import AGENT, Spender, claim, open_tree, put_turn
from bursar.agents import Agent
from bursar.budgets.pricing import PriceBook
from bursar.clock import monotonic_s
from bursar.events import Span
from bursar.gate.pipeline import Gate
from bursar.gate.policy import Policy
from bursar.inbox import Inputs
from bursar.messages import ToolCall
from bursar.queue import Bells, connect_queue
from bursar.registry import Registry
from bursar.settings import GatewaySettings, WorkerSettings
from bursar.signing import SigningKeys
from bursar.store.codec import text
from bursar.store.keys import WorkspaceKeys
from bursar.store.link import Sent
from bursar.store.opening import adopt
from bursar.store.redis import RedisClient
from bursar.store.route import route_of
from bursar.store.scripts import turns
from bursar.store.scripts.sessions import open_workspace
from bursar.store.scripts.turns import Commit
from bursar.store.server import Server
from bursar.store.store import Store
from bursar.store.topology import Topology
from bursar.tools import Tool, tool
from bursar_worker.authority import Authority
from bursar_worker.calls import OpenCalls
from bursar_worker.gatekeeper import Admitted, Gatekeeper
from bursar_worker.hooks import HookRunner
from bursar_worker.kit import Kit
from bursar_worker.mcp import McpTools
from bursar_worker.questions import Questions
from bursar_worker.scope import Scope
from bursar_worker.snapshots import SnapshotReader
from bursar_worker.transcript import TranscriptReader
from bursar_worker.writer import SessionWriter

__all__ = ["WORKSPACE", "Counting", "Desk", "free", "opened", "paid"]

WORKSPACE, USER, SESSION = "gate", "ada", "s"
_PLENTY = 10**13
_LEASE_MS = 10**9  # nobody renews it here
_STEP = 1
_numbers = itertools.count()


@tool(effect="idempotent")
async def free(place: str) -> str:
    """Do something somewhere."""
    return place


@tool(effect="idempotent", cost_usd="0.001")
async def paid(place: str) -> str:
    """Do something that costs."""
    return place


class Counting(Server):
    """The way to a server that counts what is sent on it."""

    sent = 0

    def send(self, commands: Iterable[Sent], *, durably: bool = False) -> None:
        listed = list(commands)
        self.sent += len(listed)
        super().send(listed, durably=durably)


@dataclass
class Desk:
    """One session's gatekeeper, on a step that never ends."""

    store: Store
    server: Counting
    workspace: WorkspaceKeys
    signing: SigningKeys
    gatekeeper: Gatekeeper
    _scope: Scope
    _turn: str

    async def intend(self, name: str, count: int) -> tuple[ToolCall, ...]:
        """A model asks for calls; whatever was open before is over."""
        session = self._scope.session
        await self.store.redis.call("DEL", session.effects)
        calls = tuple(
            ToolCall(f"c{next(_numbers)}", name, f'{{"place":"p{number}"}}')
            for number in range(count)
        )
        commit = Commit(effects={f"call:{call.id}": "intent" for call in calls})
        await turns.commit_step(self.store, self._scope.lease, self._turn, commit, [])
        return calls

    async def admit(self, call: ToolCall) -> bool:
        found = await self.gatekeeper.admit(call, OpenCalls((call,), {}))
        return isinstance(found, Admitted)

    async def used_us(self) -> float:
        """Server time of scripts since the last reset."""
        stats: Any = await self.store.redis.call("INFO", "commandstats")
        return float(stats["cmdstat_evalsha"]["usec"]) if "cmdstat_evalsha" in stats else 0.0

    async def reset(self) -> None:
        await self.store.redis.call("CONFIG", "RESETSTAT")


@asynccontextmanager
async def opened(
    url: str, *, allow: Sequence[str] = (), tools: Sequence[Tool[..., Any]] = (free, paid)
) -> AsyncIterator[Desk]:
    """A workspace with one session, on an empty server."""
    settings = WorkerSettings(redis_url=url)
    server = Counting(route_of(Topology.parse(url), timeout_s=5), timeout_s=5)
    store = await adopt(RedisClient(server), settings)
    queue = await connect_queue(settings)
    try:
        await open_workspace(store, WORKSPACE, limit="unlimited", warn_percent=0, settings={})
        await open_tree(store, WORKSPACE, (SESSION,), user=USER, limit=_PLENTY)
        turn = await put_turn(store, WORKSPACE, SESSION, user=USER)
        spender = await claim(
            store, WORKSPACE, (SESSION,), turn, user=USER, owner="o", lease_ms=_LEASE_MS
        )
        registry = Registry(store)
        bells = Bells(store, queue, registry)
        agent = Agent(name=AGENT, model="m", tools=tools, policy=Policy(allow=list(allow)))
        scope = await _scope(_kit(store, settings, registry, bells, agent), agent, spender)
        span = Span(SESSION, turn, _STEP)
        signing = await SigningKeys.load(store, GatewaySettings(redis_url=url))
        yield Desk(
            store,
            server,
            store.workspace(WORKSPACE),
            signing,
            Gatekeeper(scope, span, Questions(scope, span, "of a benchmark")),
            scope,
            turn,
        )
    finally:
        await queue.aclose()
        await store.aclose()


def _kit(
    store: Store, settings: WorkerSettings, registry: Registry, bells: Bells, agent: Agent
) -> Kit:
    return Kit(
        worker_id="w1",
        settings=settings,
        store=store,
        registry=registry,
        bells=bells,
        inputs=Inputs(store, registry, bells),
        agents={agent.name: agent},
        prices=PriceBook(None),
        gate=Gate(),
        transcripts=TranscriptReader(store, max_history_bytes=1 << 20, max_kept_bytes=1 << 20),
        snapshots=SnapshotReader(store),
        mcp=McpTools(store, settings, worker_id="w1"),
    )


async def _scope(kit: Kit, agent: Agent, spender: Spender) -> Scope:
    fields = await kit.store.redis.call("HGETALL", spender.lease.session.hash)
    return Scope(
        kit=kit,
        agent=agent,
        lease=spender.lease,
        writer=SessionWriter(kit.store, spender.lease, _failed),
        authority=Authority(_LEASE_MS, monotonic_s()),
        progressed=lambda: None,
        fields={text(name): text(value) for name, value in fields.items()},
        path=spender.path,
        chain=(),
        tools={each.name: each for each in agent.tools},
        hooks=HookRunner(agent),
    )


def _failed(error: Exception) -> None:
    raise error
