"""Whole installations on Sentinel and on Cluster: a primary is killed while turns run."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.chaos.audit import audit
from bench.chaos.client import Producer
from redis.asyncio import Redis

from bursar.budgets.audit import audit_budgets
from bursar.cli.supervisor import Installation
from bursar.client import AsyncClient
from bursar.embedded import EmbeddedServer
from bursar.events import TERMINAL
from bursar.settings import Settings
from bursar.store.keys import WorkspaceKeys
from bursar.store.opening import open_store
from support.sources import ROOT
from support.topologies import ClusterServers, Replicated, ask, until

SEED = 20261126
TURN = "steps=3 calls=1 effect=at_most_once delay_ms=150"


@asynccontextmanager
async def installation(url: str, effects: Path, **env: str) -> AsyncIterator[Installation]:
    """A gateway and two workers, as processes of their own."""
    settings = {"CHAOS_EFFECTS": str(effects), "PYTHONPATH": str(ROOT), **env}
    site = Installation(
        workers=2, redis_url=url, agents="bench.chaos.agents", env=settings, workspace="",
        data=effects.parent / "site",
    )  # fmt: skip
    await asyncio.to_thread(site.start)
    try:
        yield site
    finally:
        await asyncio.to_thread(site.stop)


def producers(site: Installation, workspaces: Sequence[str]) -> list[Producer]:
    return [Producer([site.url], site.key, ws, random.Random(SEED)) for ws in workspaces]


async def put(producer: Producer, sessions: int) -> list[str]:
    found = [await producer.session("worker") for _ in range(sessions)]
    return [await producer.put(session, TURN) for session in found]


async def watched(site: Installation, workspace: str, turn: str) -> list[str]:
    """What a client that streams a turn sees of it, whatever happens on the way."""
    async with AsyncClient(site.url, site.key, workspace=workspace, retries=20) as client:
        return [event.kind async for event in client.turn_events(turn)]


def assert_no_take_over_at_once(site: Installation) -> None:
    """A worker that starts cannot tell a new primary from an old one."""
    for worker in site.workers:
        log = (site.logs / f"{worker.name}.log").read_text()
        assert "no take-overs for 4 s: the primary may have just changed" in log


async def test_turns_outlive_the_death_of_a_primary_under_sentinel(tmp_path: Path) -> None:
    servers = Replicated(tmp_path, replicas=2, sentinels=3, extra=("--min-replicas-to-write", "1"))
    effects = tmp_path / "effects"
    env = {"BURSAR_DURABILITY": "strict", "BURSAR_ENV": "production"}
    try:
        async with installation(servers.url, effects, **env) as site:
            (producer,) = producers(site, ["default"])
            await producer.open_workspace()
            turns = await put(producer, 12)
            stream = asyncio.create_task(watched(site, "default", turns[-1]))
            await asyncio.sleep(0.3)
            servers.primary.kill()
            turns += await put(producer, 4)
            ends = [await producer.ended(turn, 60) for turn in turns]
            seen = await stream
            primary = next(s for s in servers.replicas if ask(s.port, "ROLE")[0] == b"master")
            async with Redis(port=primary.port) as redis:
                findings = await audit(redis, producer.accepted, effects)
    finally:
        servers.stop()
    assert findings.wrong == []
    assert Counter(end["state"] for end in ends) == {"succeeded": 16}
    assert producer.repeats > 0, "nobody noticed that the primary was gone"
    assert_no_take_over_at_once(site)
    assert 0 < findings.effects["at_most_once"] <= 48
    assert [kind for kind in seen if kind in TERMINAL] == ["turn.succeeded"]


async def test_an_installation_on_a_cluster_outlives_the_death_of_a_primary(
    tmp_path: Path,
) -> None:
    servers = ClusterServers(tmp_path, replicas=True)
    effects = tmp_path / "effects"
    # A replica that was promoted has none of its own to wait for.
    env = {"BURSAR_DURABILITY": "strict", "BURSAR_WAIT_REPLICAS": "0"}
    try:
        with EmbeddedServer() as queue:
            env["BURSAR_QUEUE_URL"] = queue.url
            async with installation(servers.url, effects, **env) as site:
                made = producers(site, one_on_each_node(servers))
                await asyncio.gather(*(each.open_workspace() for each in made))
                first = await asyncio.gather(*(put(each, 2) for each in made))
                for each, turns in zip(made, first, strict=True):
                    assert (await each.ended(turns[0]))["state"] == "succeeded"

                turns = [turn for each in made for turn in await put(each, 3)]
                streams = [
                    watched(site, each.workspace, turns[3 * i]) for i, each in enumerate(made)
                ]
                seeing = asyncio.gather(*streams)
                await asyncio.sleep(0.3)
                servers.owner(WorkspaceKeys(made[1].workspace, 16).hash).kill()
                ends = [await each.ended(t.turn, 60) for each in made for t in each.accepted]
                seen = await seeing
            settings = Settings(redis_url=servers.url, queue_url=queue.url)
            store = await open_store(settings)
            audits = [await audit_budgets(store, each.workspace) for each in made]
            await store.aclose()
    finally:
        servers.stop()
    assert Counter(end["state"] for end in ends) == {"succeeded": 15}
    assert [(found.differences, found.holds) for found in audits] == [([], 0)] * 3
    repeated = Counter(line.split(" ")[-1] for line in effects.read_text().splitlines())
    assert {key for key, count in repeated.items() if count > 1} == set()
    assert [[k for k in kinds if k in TERMINAL] for kinds in seen] == [["turn.succeeded"]] * 3
    assert_no_take_over_at_once(site)


def one_on_each_node(servers: ClusterServers) -> list[str]:
    found: dict[int, str] = {}
    for number in range(40):
        found.setdefault(servers.owner(WorkspaceKeys(f"ws{number}", 16).hash).port, f"ws{number}")
    until("workspace on each node", lambda: len(found) == 3)
    return list(found.values())
