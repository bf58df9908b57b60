"""A worker inside the test's own event loop, and the ways a test waits for what it does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from bursar import sessions, turns, workspaces
from bursar.agents import Agent
from bursar.events import LoggedEvent, read_log
from bursar.gate import approvals, capability_views, granting
from bursar.gate.answers import Answers, Decision
from bursar.gate.approvals import ApprovalView, list_open
from bursar.inbox import Inputs
from bursar.messages import UserMessage
from bursar.queue import Bells, connect_queue
from bursar.registry import Registry
from bursar.sessions import SessionSpec, SessionView
from bursar.settings import GatewaySettings, Settings, WorkerSettings
from bursar.signing import SigningKeys
from bursar.store.codec import text
from bursar.store.store import Store
from bursar.turns import ENDED, TurnView
from bursar_worker.main import WorkerProcess

WORKSPACE = "acme"


async def wait_until(
    what: str, predicate: Callable[[], Awaitable[Any]], *, timeout_s: float = 15.0
) -> Any:
    """Poll until ``predicate`` gives something true; fail saying ``what`` did not come."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while asyncio.get_running_loop().time() < deadline:
        value = await predicate()
        if value:
            return value
        await asyncio.sleep(0.01)
    raise AssertionError(f"within {timeout_s} s there was no {what}")


def worker_settings(settings: Settings, **changes: Any) -> WorkerSettings:
    quick = {"renew_every_s": 0.2, "sweep_every_s": 0.1}
    return WorkerSettings(redis_url=settings.redis_url, **(quick | changes))


class Site:
    """A workspace with a gateway's side of things: puts inputs in and looks at what comes out."""

    def __init__(
        self, store: Store, inputs: Inputs, registry: Registry, bells: Bells, answers: Answers
    ) -> None:
        self.store = store
        self.bells = bells
        self.answers = answers
        self.inputs = inputs
        self.registry = registry

    async def session(self, agent: str, **spec: Any) -> SessionView:
        return await sessions.create(
            self.store, self.registry, WORKSPACE, SessionSpec(agent=agent, user="ada", **spec)
        )

    async def put(self, session: SessionView, text: str = "go", *, if_busy: str = "enqueue") -> str:
        accepted = await self.inputs.put(WORKSPACE, session.id, UserMessage(text), if_busy=if_busy)
        return accepted.turn

    async def fields(self, session: SessionView, *names: str) -> list[str]:
        """Fields of the session's hash."""
        keys = sessions.locate(self.store, WORKSPACE, session.id)
        return [text(value) for value in await self.store.redis.call("HMGET", keys.hash, *names)]

    async def turn(self, tid: str) -> TurnView:
        return await turns.get(self.store, WORKSPACE, tid)

    async def ended(self, tid: str, *, timeout_s: float = 15.0) -> TurnView:
        async def look() -> TurnView | None:
            turn = await self.turn(tid)
            return turn if turn.state in ENDED else None

        found: TurnView = await wait_until(f"end of {tid}", look, timeout_s=timeout_s)
        return found

    async def swept(self) -> None:
        """Wait until a sweeper has gone through all that is due now."""
        ws = self.store.workspace(WORKSPACE)
        # A timer that means nothing any more; a round comes to the timers last but one.
        await self.store.redis.call("ZADD", ws.shard.timers, 1, ws.kill_timer)

        async def gone() -> bool:
            return await self.store.redis.call("ZSCORE", ws.shard.timers, ws.kill_timer) is None

        await wait_until("round of the sweeper", gone)

    async def run(self, agent: str, text: str = "go", **spec: Any) -> tuple[SessionView, TurnView]:
        session = await self.session(agent, **spec)
        turn = await self.ended(await self.put(session, text))
        return await sessions.get(self.store, WORKSPACE, session.id), turn

    async def asked(self, count: int = 1) -> list[ApprovalView]:
        """Wait until so many questions are open."""

        async def look() -> list[ApprovalView] | None:
            found = await list_open(self.store, self.store.workspace(WORKSPACE))
            return found if len(found) >= count else None

        found: list[ApprovalView] = await wait_until(f"{count} open questions", look)
        return found

    async def question(self, question_id: str) -> ApprovalView:
        return await approvals.get(self.store, self.store.workspace(WORKSPACE), question_id)

    async def answer(
        self, question: ApprovalView, decision: str = "approve", **parts: Any
    ) -> ApprovalView:
        given = {"decision": decision, "arguments_sha256": question.arguments_sha256} | parts
        return await self.answers.answer(
            self.store.workspace(WORKSPACE),
            question.id,
            msgspec.convert(given, Decision),
            by="key:ann",
        )

    async def revoke(self, grant: str) -> None:
        """Revoke what an answer granted to the workspace."""
        workspace = self.store.workspace(WORKSPACE)
        if grant.startswith("alw_"):
            await granting.revoke(self.store, workspace, grant, by="key:ann")
        else:
            await capability_views.revoke(self.store, workspace, grant, by="key:ann")

    async def log(self, session: SessionView) -> list[LoggedEvent]:
        keys = sessions.locate(self.store, WORKSPACE, session.id)
        return await read_log(self.store, keys, after=0, limit=10_000)

    async def kinds(self, session: SessionView) -> list[str]:
        return [event.kind for event in await self.log(session)]

    async def seen(self, session: SessionView, kind: str) -> LoggedEvent:
        """Wait for the first event of a kind."""

        async def look() -> LoggedEvent | None:
            return next((e for e in await self.log(session) if e.kind == kind), None)

        found: LoggedEvent = await wait_until(f"{kind} in {session.id}", look)
        return found


@asynccontextmanager
async def site(store: Store) -> AsyncIterator[Site]:
    registry = Registry(store, max_age_s=0)
    queue = await connect_queue(store.settings)
    await workspaces.ensure(store, WORKSPACE)
    try:
        bells = Bells(store, queue, registry)
        signing = await SigningKeys.load(store, GatewaySettings(redis_url=store.settings.redis_url))
        answers = Answers(store, registry, bells, signing)
        yield Site(store, Inputs(store, registry, bells), registry, bells, answers)
    finally:
        await queue.aclose()


@asynccontextmanager
async def working(store: Store, *agents: Agent, **changes: Any) -> AsyncIterator[WorkerProcess]:
    """A worker that serves ``agents``; on leaving, it drains as on SIGTERM."""
    settings = worker_settings(store.settings, **changes)
    queue = await connect_queue(settings)
    process = WorkerProcess(settings, store, queue, {agent.name: agent for agent in agents})
    signalled = asyncio.Event()
    running = asyncio.create_task(process.run(signalled))
    registry = Registry(store, max_age_s=0)

    async def announced() -> bool:
        entries = await registry.entries()
        return running.done() or all(agent.name in entries for agent in agents)

    try:
        await wait_until("announced worker", announced)
        yield process
    finally:
        signalled.set()
        await asyncio.wait_for(running, 20)
        await queue.aclose()
