"""A worker that dies: it moves a session on with the bare scripts and is never heard of again."""

from bursar import sessions
from bursar.events import Span
from bursar.gate.requests import Use
from bursar.leases import Claimed, Lease
from bursar.messages import AssistantMessage, ToolCall
from bursar.registry import AgentEntry, announce
from bursar.sessions import SessionView
from bursar.store.codec import encode_json, text
from bursar.store.keys import GlobalKeys
from bursar.store.scripts import leases, turns
from bursar.store.scripts.budgets import HoldWish, Path, reserve
from bursar.store.store import Store
from support.stage import claimant
from support.tool_calls import start_tool
from support.workers import WORKSPACE, Site

__all__ = ["DeadWorker", "announce_agent", "forget_agent"]


async def announce_agent(store: Store, name: str = "worker") -> None:
    """Some worker serves this agent, and has not been heard of only for a moment."""
    worker: dict[str, str | int] = {
        "id": "dead", "host": "h", "pid": 1, "group": "default", "slots": 1, "busy": 0,
        "agents": name, "started_ms": 1,
    }  # fmt: skip
    await announce(store, worker, [AgentEntry(name, "default", "m", model="scripted")])


async def forget_agent(store: Store, name: str) -> None:
    """This agent was announced long ago: known, but nobody serves it."""
    entry = AgentEntry(name, "default", "m", model="scripted", seen_ms=1)
    await store.redis.call("HSET", GlobalKeys.agents, name, encode_json(entry))


class DeadWorker:
    """Drives a session with the bare scripts up to some point, and is never heard of again."""

    def __init__(self, store: Store, session: SessionView, lease: Lease, turn: str) -> None:
        self.store = store
        self.lease = lease
        self.turn = turn
        self.span = Span(session.id, turn, 1, 1)
        self.path = Path.of(lease.session, user="ada")

    @classmethod
    async def take(
        cls, place: Site, session: SessionView, turn: str, *, lease_ms: int = 1
    ) -> "DeadWorker":
        """Claim the session and start the turn, unless it runs already."""
        keys = sessions.locate(place.store, WORKSPACE, session.id)
        mortal = claimant("dead", lease_ms)
        claimed = await leases.claim(place.store, keys, mortal, owner="dead")
        assert isinstance(claimed, Claimed), claimed
        dead = cls(place.store, session, claimed.lease, turn)
        for item in claimed.inbox:
            if item.target == turn and item.kind == "input":
                event = dead.span.event("turn.started")
                await turns.start(place.store, claimed.lease, item, [event])
        return dead

    async def call_model(self, attempt: int = 1) -> None:
        wish = HoldWish(
            hold_id=f"{self.span.session}/{self.turn}/1/{attempt}",
            secret="s",
            cost_microusd=700,
            tokens=9,
            sent=True,
            ttl_ms=60_000,
            turn=self.turn,
            step=1,
            kind="model",
            price="flat",
        )
        await reserve(self.store, self.lease, self.path, wish)
        await turns.append_events(
            self.store, self.lease, [self.span.event("text.delta", text="half of an ans")]
        )

    async def ask_for(self, call: ToolCall) -> None:
        message = AssistantMessage(tool_calls=(call,), turn=self.turn, step=1)
        commit = turns.Commit(messages=[message], effects={f"call:{call.id}": "intent"}, steps=1)
        await turns.commit_step(self.store, self.lease, self.turn, commit, [])

    async def send(self, call: ToolCall, use: Use = Use()) -> None:  # noqa: B008  (frozen)
        """Start a call; with ``use``, on what was granted for it."""
        workspace = self.lease.session.workspace
        version = text(await self.store.redis.call("HGET", workspace.hash, "gate_version"))
        field = f"call:{call.id}"
        await start_tool(self.store, self.lease, field, version=version or "0", use=use)
