"""Sessions that are driven from here by the scripts that workers call, and people who answer."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.plants import PlantedStore
from bench.trees import Spender, claim, open_tree, put_turn
from bursar.audit.entries import Record
from bursar.events import Span
from bursar.gate.answers import Answers, Decision
from bursar.gate.approvals import ApprovalView, get, told_of
from bursar.gate.canonical import Canonical
from bursar.ids import new_id
from bursar.leases import Lease
from bursar.queue import Bells, connect_queue
from bursar.registry import AgentEntry, Registry, announce
from bursar.settings import GatewaySettings, Settings
from bursar.signing import SigningKeys
from bursar.store.keys import WorkspaceKeys
from bursar.store.opening import open_store
from bursar.store.scripts import tools, turns
from bursar.store.scripts.sessions import open_workspace
from bursar.store.scripts.tools import Permit
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store

__all__ = ["MANIFEST", "POLICY", "Asked", "Rig", "Seat", "opened"]

USER, AGENT = "ada", "spender"
MANIFEST, POLICY = "m" * 64, "p" * 64
_PLENTY = 10**12
_LEASE_MS = 10**9  # nobody renews it here
_DEADLINE_MS = 3_600_000
_WORKER: dict[str, str | int] = {
    "id": "w1", "host": "here", "pid": 1, "group": "default", "slots": 1, "busy": 0,
    "agents": AGENT, "started_ms": 1,
}  # fmt: skip


@dataclass
class Seat:
    """One session with a turn under way."""

    workspace: WorkspaceKeys
    spender: Spender

    @property
    def lease(self) -> Lease:
        return self.spender.lease

    @property
    def session(self) -> str:
        return self.lease.session.id


@dataclass(frozen=True)
class Asked:
    """A question, as it was put."""

    seat: Seat
    id: str
    call: str
    arguments: Canonical


@dataclass
class Rig:
    """``store`` is what workers use, maybe with a bug; ``answers`` come from a gateway without."""

    store: Store
    answers: Answers
    seats: list[Seat]
    abroad: Seat
    """In another workspace."""
    chance: random.Random

    async def intend(self, seat: Seat) -> str:
        """A step asks for a call; returns its id."""
        call = new_id("call")
        await self.set_state(seat, call, "intent")
        return call

    async def set_state(self, seat: Seat, call: str, state: str) -> None:
        commit = Commit(effects={f"call:{call}": state})
        await turns.commit_step(self.store, seat.lease, seat.spender.turn, commit, [])

    async def ask(self, seat: Seat, arguments: Canonical, **changes: Any) -> Asked:
        call, question = await self.intend(seat), new_id("apr")
        turn = seat.spender.turn
        fields: dict[str, Any] = {
            "id": question, "workspace": seat.workspace.id, "session": seat.session,
            "root": seat.session, "user": USER, "agent": AGENT, "chain": seat.session,
            "turn": turn, "step": 1, "call": call, "tool": "send", "server": "local",
            "action": "tool://local/send", "effect": "at_most_once", "risk": "low",
            "priority": "normal", "reason": "default", "stage": "policy_allow", "remedy": "",
            "arguments": arguments.text, "arguments_sha256": arguments.sha256,
            "manifest": MANIFEST, "policy": POLICY, "outside": "[]", "cost_microusd": 0,
            "asked_of": "", "fallback": "block", "repeat_key": question, **changes,
        }  # fmt: skip
        asked = await tools.ask(
            self.store,
            seat.lease,
            f"call:{call}",
            approval=question,
            version=await self.version(seat),
            repeat_key=str(fields["repeat_key"]),
            deadline_ms=_DEADLINE_MS,
            fields=fields,
            told=Span(seat.session, turn, 1).event("approval.requested", **told_of(fields)).body,
            audit=self._record(seat, "ask").body,
        )
        if asked.status != "ok":
            raise RuntimeError(f"the question was not put: {asked}")
        return Asked(seat, question, call, arguments)

    async def answer(self, asked: Asked, decision: str, sha256: str, **parts: Any) -> ApprovalView:
        given: Any = {"decision": decision, "arguments_sha256": sha256, **parts}
        return await self.answers.answer(
            asked.seat.workspace, asked.id, Decision(**given), by="key:ann"
        )

    async def record(self, asked: Asked) -> ApprovalView:
        return await get(self.store, asked.seat.workspace, asked.id)

    async def version(self, seat: Seat) -> str:
        found = await self.store.redis.call("HGET", seat.workspace.hash, "gate_version")
        return found.decode() if found else "0"

    async def start(self, seat: Seat, call: str, permit: Permit) -> str:
        started = await tools.start_tool(
            self.store, seat.lease, f"call:{call}", [], permit, seat.spender.path
        )
        return started.status

    def permit(self, seat: Seat, version: str, **parts: Any) -> Permit:
        return Permit(version=version, audit=self._record(seat, "allow").body, **parts)

    def _record(self, seat: Seat, decision: Any) -> Record:
        return Record(
            workspace=seat.workspace.id,
            actor=f"agent:{AGENT}",
            action="tool://local/send",
            decision=decision,
            session=seat.session,
        )


@asynccontextmanager
async def opened(
    url: str, *, chance: random.Random, seats: int = 4, plant: str = ""
) -> AsyncIterator[Rig]:
    """Two workspaces on an empty server; in the first, half of the sessions are children."""
    store = await open_store(Settings(redis_url=url))
    used = PlantedStore.over(store, plant) if plant else store
    queue = await connect_queue(store.settings)
    registry = Registry(store)
    await announce(store, _WORKER, [AgentEntry(AGENT, "default", "m", model="m")])
    signing = await SigningKeys.load(store, GatewaySettings(redis_url=url))
    answers = Answers(store, registry, Bells(store, queue, registry), signing)
    try:
        made = []
        for number in range(seats // 2):
            made += await _family(used, "home", f"s{number}")
        (abroad, _) = await _family(used, "abroad", "s")
        yield Rig(used, answers, made, abroad, chance)
    finally:
        await queue.aclose()
        await store.aclose()


async def _family(store: Store, workspace: str, sid: str) -> list[Seat]:
    """A root and its child, each with a turn under way."""
    await open_workspace(store, workspace, limit="unlimited", warn_percent=0, settings={})
    sids = (sid, f"{sid}c")
    await open_tree(store, workspace, sids, user=USER, limit=_PLENTY)
    found = []
    for line in (sids[:1], sids):
        turn = await put_turn(store, workspace, line[-1], user=USER)
        spender = await claim(
            store, workspace, line, turn, user=USER, owner=f"o-{line[-1]}", lease_ms=_LEASE_MS
        )
        found.append(Seat(store.workspace(workspace), spender))
    return found
