"""Audit logs as they come about: sessions, limits, cancels, kills on a real server, then seals."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bursar import kill_switch, sessions, workspaces
from bursar.audit.chain import INSTALLATION
from bursar.audit.entries import Record
from bursar.audit.exporting import export_log
from bursar.audit.keyring import KeyRing
from bursar.audit.reading import read_seals
from bursar.audit.sealing import seal_log
from bursar.audit.trimming import trim_log
from bursar.audit.verdicts import Verdict
from bursar.audit.verifying import Verifier
from bursar.budgets.accounts import LimitChange, change_limit
from bursar.budgets.periods import change_period, reset_now
from bursar.inbox import Inputs
from bursar.messages import UserMessage
from bursar.queue import Bells, connect_queue
from bursar.registry import AgentEntry, Registry, announce, redis_ms
from bursar.settings import GatewaySettings
from bursar.signing import PublicKeys, SigningKeys
from bursar.store.scripts.audit import AuditLog, append
from bursar.store.store import Store

__all__ = ["LOGS", "Site", "opened"]

WHOLE, TRIMMED = "acme", "beta"
LOGS = (WHOLE, TRIMMED, INSTALLATION)
_HOUR_MS = 3_600_000
_ENTRIES = 120
WORKER: dict[str, str | int] = {
    "id": "w1", "host": "here", "pid": 1, "group": "default", "slots": 1, "busy": 0,
    "agents": "echo", "started_ms": 1,
}  # fmt: skip


@dataclass
class Site:
    store: Store
    keys: SigningKeys
    inputs: Inputs
    registry: Registry
    rng: random.Random

    async def verify(self, log: AuditLog, heads: dict[int, str] | None = None) -> Verdict:
        """As `bursar audit verify` does it, with the public keys that the store has now."""
        public = await PublicKeys.load(self.store)
        ring = KeyRing.of(await public.list_keys())
        verifier = Verifier(ring, heads=heads)
        lines = export_log(self.store, log, self.keys.current, ring, unsealed=True)
        async for chunk in lines:
            for line in chunk.splitlines():
                verifier.feed(line)
        return verifier.finish()

    async def seal(self, log: AuditLog) -> None:
        """As a sealer would have done it an hour ago."""
        public = await PublicKeys.load(self.store)
        ring = KeyRing.of(await public.list_keys())
        now = await redis_ms(self.store) - _HOUR_MS
        sealed = await seal_log(self.store, log, self.keys.current, ring, now_ms=now)
        if sealed.problem:
            raise RuntimeError(sealed.problem)

    async def build(self) -> None:
        for workspace in (WHOLE, TRIMMED):
            await self._live(workspace)
        await self._refuse_logins()
        await self._trim(AuditLog.of(self.store, TRIMMED))

    async def _live(self, workspace: str) -> None:
        """A workspace at work, with a seal now and then, and a few entries without one."""
        store, actor = self.store, "key:06f0test"
        log = AuditLog.of(store, workspace)
        await workspaces.create(store, workspace, limit_microusd=10**9, actor=actor)
        seq = 0
        while seq < _ENTRIES:
            await self._one_thing(workspace, actor)
            seq = int(await store.redis.call("HGET", log.counter, "audit_seq"))
            if self.rng.random() < 0.3:
                await self.seal(log)
        await self.seal(log)
        for _ in range(4):
            await self._one_thing(workspace, actor)

    async def _one_thing(self, workspace: str, actor: str) -> None:
        store, rng = self.store, self.rng
        spec = sessions.SessionSpec(agent="echo", user=f"u{rng.randrange(5)}")
        match rng.randrange(7):
            case 0:
                opened = await sessions.create(store, self.registry, workspace, spec, actor=actor)
                await self.inputs.end(workspace, opened.id, actor=actor)
                await sessions.delete(store, workspace, opened.id, actor=actor)
            case 1:
                opened = await sessions.create(store, self.registry, workspace, spec, actor=actor)
                turn = await self.inputs.put(workspace, opened.id, UserMessage("go on"))
                await self.inputs.cancel(workspace, turn.turn, "not needed", actor=actor)
            case 2:
                limit = LimitChange(limit_microusd=rng.randrange(1, 10**12))
                await change_limit(store, workspace, "ws", limit, actor=actor)
            case 3:
                await reset_now(store, workspace, "ws", actor=actor)
            case 4:
                period = rng.choice(("day", "month"))
                await change_period(store, workspace, "ws", period, actor=actor)
            case 5:
                cap = rng.randrange(1, 100)
                await workspaces.update(store, workspace, {"max_running": cap}, actor=actor)
            case _:
                await kill_switch.kill(store, self.inputs, workspace, "runaway", actor=actor)
                await kill_switch.revive(store, workspace, actor=actor)

    async def _refuse_logins(self) -> None:
        log = AuditLog.of(self.store, INSTALLATION)
        for number in range(_ENTRIES):
            details = {"count": number + 1, "addresses": ["192.0.2.7"]}
            record = Record(
                workspace="", actor="system", action="login.refused", decision="deny",
                details=details,
            )  # fmt: skip
            await append(self.store, log, record)
            if self.rng.random() < 0.15:
                await self.seal(log)
        await self.seal(log)

    async def _trim(self, log: AuditLog) -> None:
        await self.seal(log)
        public = await PublicKeys.load(self.store)
        ring = KeyRing.of(await public.list_keys())
        async for _ in export_log(self.store, log, self.keys.current, ring):
            pass
        seals = await read_seals(self.store, log, after=0, limit=1000)
        last = seals[len(seals) // 4]
        await trim_log(self.store, log, last.to_seq, last.head, actor="key:06f0test")
        await self.seal(log)


@asynccontextmanager
async def opened(store: Store, settings: GatewaySettings, seed: int) -> AsyncIterator[Site]:
    """Logs on an empty store."""
    queue = await connect_queue(settings)
    registry = Registry(store, max_age_s=0)
    await announce(store, WORKER, [AgentEntry("echo", "default", "m", model="x")])
    site = Site(
        store,
        await SigningKeys.load(store, settings),
        Inputs(store, registry, Bells(store, queue, registry)),
        registry,
        random.Random(seed),
    )
    try:
        await site.build()
        yield site
    finally:
        await queue.aclose()
