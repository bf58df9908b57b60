"""What it costs Redis to open 32 children: the one script that does, by the server's own count."""

import asyncio
from pathlib import Path

from redis.asyncio import Redis

from bench.trees import AGENT, claim, open_tree, put_turn
from bursar.embedded import EmbeddedServer
from bursar.events import Span
from bursar.ids import new_id
from bursar.messages import UserMessage
from bursar.settings import Settings
from bursar.store.codec import encode_message
from bursar.store.opening import open_store
from bursar.store.scripts.children import NewChild, Spawn, spawn
from bursar.store.scripts.sessions import open_workspace
from bursar.store.scripts.turns import Commit, commit_step
from bursar.store.store import Store

__all__ = ["CHILDREN", "measure"]

CHILDREN = 32
"""As many as a model may ask for in one step."""
_WORKSPACE, _USER = "spawning", "bench"
_LIMIT = 1_000_000


def measure(folder: Path, *, rounds: int) -> list[float]:
    """Milliseconds inside Redis, one value for each time that 32 were opened."""
    with EmbeddedServer(data=folder / "redis") as server:
        return asyncio.run(_run(server.url, server.port, rounds))


async def _run(url: str, port: int, rounds: int) -> list[float]:
    store = await open_store(Settings(redis_url=url))
    try:
        await open_workspace(store, _WORKSPACE, limit="unlimited", warn_percent=80, settings={})
        async with Redis(port=port) as redis:
            return [await _once(store, redis) for _ in range(rounds)]
    finally:
        await store.aclose()


async def _once(store: Store, redis: Redis) -> float:
    root = new_id("ses")
    await open_tree(store, _WORKSPACE, (root,), user=_USER, limit=_LIMIT)
    turn = await put_turn(store, _WORKSPACE, root, user=_USER)
    spender = await claim(store, _WORKSPACE, (root,), turn, user=_USER, owner=root, lease_ms=60_000)
    await commit_step(store, spender.lease, turn, Commit(effects={"call:c": "sent"}), [])
    wish = Spawn(
        turn=turn,
        call="call:c",
        join="1-c",
        total=CHILDREN,
        need=CHILDREN,
        window=CHILDREN,
        children=[_child(store, root, turn, slot) for slot in range(CHILDREN)],
    )
    before = await _spent_usec(redis)
    rung = await spawn(store, spender.lease, wish, user=_USER, workspace_path="")
    spent = await _spent_usec(redis) - before
    assert rung, "no child was opened"  # noqa: S101
    return spent / 1000


def _child(store: Store, root: str, turn: str, slot: int) -> NewChild:
    """As a worker makes one, with what it has to say of it."""
    name = f"{root[-12:]}{slot:03d}"
    session = store.workspace(_WORKSPACE).session(f"{root}~{name}")
    fields = {
        "ws": _WORKSPACE, "user": _USER, "agent": AGENT, "model": "m", "parent": root,
        "workspace_path": "", "priority": "background", "title": "one of many", "tags": "",
        "schema_version": "1",
    }  # fmt: skip
    task = UserMessage("Read the file that is named here, and say what it is about.", turn="t")
    spawned = Span(root, turn, 1).event("child.spawned", child=session.id, agent=AGENT, slot=slot)
    return NewChild(
        session=session,
        turn=f"trn_{name}",
        slot=slot,
        input=encode_message(task),
        time_ms=300_000,
        limit_microusd=None,
        per_action_microusd=_LIMIT,
        no_worker=False,
        fields=fields,
        texts={"system_prompt": "Another agent gave you one task. " * 8, "chain": "[]"},
        spawned=spawned.body,
    )


async def _spent_usec(redis: Redis) -> int:
    """What the server has spent on scripts so far."""
    found = await redis.info("commandstats")
    return int(found["cmdstat_evalsha"]["usec"])
