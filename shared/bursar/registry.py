"""Which agents exist and who serves them now: workers announce, gateways ask.

An entry names the agent's group and manifest and when a worker last announced it, by Redis time.
An agent is live for 15 s after that. One that was ever announced is known: its sessions accept
inputs, which wait for a worker; one that never was is refused.
"""

from collections.abc import Mapping

import msgspec

from bursar.clock import monotonic_s
from bursar.errors import InvalidInput
from bursar.store.codec import decode_json, encode_json, text
from bursar.store.keys import GlobalKeys
from bursar.store.store import Store

__all__ = [
    "LIVE_MS",
    "WORKER_TTL_MS",
    "AgentEntry",
    "Registry",
    "WorkerView",
    "announce",
    "list_workers",
    "redis_ms",
    "withdraw",
]

LIVE_MS = 15_000
WORKER_TTL_MS = 60_000


class AgentEntry(msgspec.Struct, frozen=True):
    """``live`` says whether some worker serves the agent now."""

    name: str
    group: str
    manifest: str
    description: str = ""
    model: str = ""
    seen_ms: int = 0
    live: bool = False
    policy: dict[str, list[str]] | None = None
    """That of the agent's code; None if the worker that announced it did not say."""
    hooks: dict[str, list[str]] = {}
    """Names of its hooks by their event."""


class WorkerView(msgspec.Struct, frozen=True):
    id: str
    host: str
    pid: int
    group: str
    slots: int
    busy: int
    agents: str
    started_ms: int
    seen_ms: int


async def announce(store: Store, worker: Mapping[str, str | int], agents: list[AgentEntry]) -> None:
    """Say that a worker lives and which agents it serves. Repeated every few seconds.

    Args:
        worker: fields of the worker's hash; ``id`` among them.

    """
    now = await redis_ms(store)
    worker_id = str(worker["id"])
    key = GlobalKeys.worker(worker_id)
    fields = [part for pair in {**worker, "seen_ms": now}.items() for part in pair]
    calls = [
        store.redis.call("HSET", key, *fields),
        store.redis.call("PEXPIRE", key, WORKER_TTL_MS),
        store.redis.call("ZADD", GlobalKeys.workers, now, worker_id),
        store.redis.call("ZREMRANGEBYSCORE", GlobalKeys.workers, "-inf", now - WORKER_TTL_MS),
    ]
    for agent in agents:
        entry = msgspec.structs.replace(agent, seen_ms=now)
        calls.append(store.redis.call("HSET", GlobalKeys.agents, agent.name, encode_json(entry)))
    for call in calls:
        await call


async def withdraw(store: Store, worker_id: str) -> None:
    """Take a worker that stops off the list. Its agents fade by themselves."""
    await store.redis.call("ZREM", GlobalKeys.workers, worker_id)
    await store.redis.call("DEL", GlobalKeys.worker(worker_id), GlobalKeys.control(worker_id))


async def list_workers(store: Store) -> list[WorkerView]:
    now = await redis_ms(store)
    ids = await store.redis.call("ZRANGEBYSCORE", GlobalKeys.workers, now - LIVE_MS, "+inf")
    replies = [store.redis.call("HGETALL", GlobalKeys.worker(text(worker_id))) for worker_id in ids]
    views = []
    for reply in replies:
        fields = {text(field): text(value) for field, value in (await reply).items()}
        if fields:
            views.append(msgspec.convert(fields, WorkerView, strict=False))
    return views


async def redis_ms(store: Store) -> int:
    """Redis's own time in milliseconds: the one clock that all processes share."""
    seconds, microseconds = await store.redis.call("TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000


class Registry:
    """The agents, read at most once a second a process."""

    def __init__(self, store: Store, *, max_age_s: float = 1.0) -> None:
        self._store = store
        self._max_age_s = max_age_s
        self._read_at_s = float("-inf")
        self._entries: dict[str, AgentEntry] = {}

    async def entries(self) -> dict[str, AgentEntry]:
        if monotonic_s() - self._read_at_s > self._max_age_s:
            raw = self._store.redis.call("HGETALL", GlobalKeys.agents)
            now = await redis_ms(self._store)
            entries = [decode_json(value, AgentEntry) for value in (await raw).values()]
            self._entries = {
                entry.name: msgspec.structs.replace(entry, live=now - entry.seen_ms <= LIVE_MS)
                for entry in entries
            }
            self._read_at_s = monotonic_s()
        return self._entries

    async def find(self, name: str) -> AgentEntry | None:
        found = (await self.entries()).get(name)
        if found is None:
            # It may have been announced within the last second.
            self._read_at_s = float("-inf")
            found = (await self.entries()).get(name)
        return found

    async def require(self, name: str) -> AgentEntry:
        """Raises `InvalidInput` (``unknown_agent``) for an agent that no worker ever announced."""
        found = await self.find(name)
        if found is None:
            known = ", ".join(sorted(self._entries)) or "none yet"
            raise InvalidInput(
                f"no worker ever served an agent {name!r}; known agents: {known}",
                field="agent",
                code="unknown_agent",
            )
        return found
