"""What it costs Redis to open 32 children: the one script that does, by the server's own count."""

import asyncio
from pathlib import Path

from bench.trees import AGENT, claim, open_tree, put_turn
from bursar.clock import wall_ms
from bursar.embedded import EmbeddedServer
from bursar.events import Span
from bursar.ids import new_id
from bursar.messages import UserMessage
from bursar.settings import Settings
from bursar.store.codec import encode_message
from bursar.store.opening import open_store
from bursar.store.scripts.children import NewChild, Spawn, spawn
from bursar.store.scripts.turns import Commit, commit_step
from bursar.store.store import Store

__all__ = ["CHILDREN", "measure"]

CHILDREN = 32
"""As many as a model may ask for in one step."""


def measure(folder: Path, *, rounds: int) -> list[float]:
    """Milliseconds inside Redis, one value a spawn."""
    with EmbeddedServer(data=folder / "redis") as server:
        return asyncio.run(_run(server.url, rounds))


async def _run(url: str, rounds: int) -> list[float]:
    store = await open_store(Settings(redis_url=url, max_tree_live=100_000))
    found = []
    try:
        for _ in range(rounds):
            found.append(await _once(store))
    finally:
        await store.aclose()
    return found


async def _once(store: Store) -> float:
    (spender,) = await open_tree(store, workspace=new_id("ws").replace("_", "-"), depth=1)
    lease, turn = spender.lease, spender.turn
    await commit_step(store, lease, turn, Commit(effects={"call:c": "sent"}), [])
    wish = Spawn(
        turn=turn,
        call="call:c",
        join="1-c",
        total=CHILDREN,
        need=CHILDREN,
        window=CHILDREN,
        children=[_child(store, spender.lease.session.id, slot) for slot in range(CHILDREN)],
    )
    before = await _script_usec(store)
    await spawn(store, lease, wish, user="bench", workspace_path="")
    return (await _script_usec(store) - before) / 1000


def _child(store: Store, parent: str, slot: int) -> NewChild:
    return None  # type: ignore[return-value]
