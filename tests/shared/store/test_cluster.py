"""A Cluster as one client: to the owner of each slot, also while owners change."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot
from redis.exceptions import ResponseError

from bursar.embedded import EmbeddedServer, free_port
from bursar.errors import StoreUnavailable, StoreUnfit
from bursar.settings import Settings
from bursar.store.blocking import BlockingList
from bursar.store.keys import ShardKeys
from bursar.store.opening import open_store
from bursar.store.redis import RedisClient, connect
from bursar.store.scripts.loader import Script
from bursar.store.slots import HOME, Redirect, SlotMap, slot_of_command
from bursar.store.threads import connect_thread
from support.topologies import ClusterServers, ask, paused, until
from support.workers import wait_until

QUEUE = "redis://127.0.0.1:1/0"
"""Nobody asks it here."""
TIMEOUT_S = 1.0
SHARDS = [ShardKeys(number) for number in range(16)]


@pytest.fixture
async def client(cluster: ClusterServers) -> AsyncIterator[RedisClient]:
    cluster.empty()
    opened = connect(cluster.url, timeout_s=TIMEOUT_S)
    yield opened
    await opened.aclose()


def _is_whole(cluster: ClusterServers, node: EmbeddedServer) -> bool:
    return b"cluster_state:ok" in cluster.ask(node, "CLUSTER", "INFO")


def on_each_node(cluster: ClusterServers) -> list[str]:
    """A key on each of the nodes."""
    found = {cluster.owner(shard.stats).port: shard.stats for shard in SHARDS}
    assert len(found) == 3
    return [found[node.port] for node in cluster.primaries]


# -- slots


def test_all_keys_of_a_shard_have_one_slot() -> None:
    shard = SHARDS[7]
    slots = {slot_of_command(("GET", key)) for key in (shard.ready, shard.stats, shard.timers)}
    assert slots == {key_slot(b"s07")}


@pytest.mark.parametrize(
    ("command", "slot"),
    [
        (("PING",), HOME),
        (("CONFIG", b"GET", b"{s07}"), HOME),
        (("HGET", b"bursar:{s07}:stats", b"f"), key_slot(b"s07")),
        (("EVALSHA", b"sha", b"2", b"bursar:{s07}:a", b"bursar:{s07}:b", b"x"), key_slot(b"s07")),
    ],
)
def test_a_command_goes_where_its_first_key_is(command: Sequence[Any], slot: int) -> None:
    assert slot_of_command(command) == slot


def test_a_map_knows_owners_and_holes() -> None:
    reply = [
        [10, 20, [b"b", 2, b"id"]],
        [0, 5, [b"", 1, b"id"], [b"r", 9, b"id"]],
        [21, 30, [b"b", 2, b"id"]],
    ]
    found = SlotMap.read(reply, ("asked", 7))
    owners = [found.owner(slot) for slot in (0, 5, 6, 10, 20, 21, 30, 31)]
    a, b = ("asked", 1), ("b", 2)
    assert owners == [a, a, None, b, b, b, b, None]
    assert set(found.owners) == {a, b}


@pytest.mark.parametrize(
    ("error", "redirect"),
    [
        (ResponseError("MOVED 7 host:1"), Redirect(("host", 1), once=False)),
        (ResponseError("ASK 7 ::1:2"), Redirect(("::1", 2), once=True)),
        (ResponseError("MOVED 7 :1"), Redirect(None, once=False)),
        (ResponseError("MOVED 7 ?:1"), Redirect(None, once=False)),
        (ResponseError("WRONGTYPE MOVED"), None),
        (StoreUnavailable("MOVED 7 host:1"), None),
    ],
)
def test_what_a_wrong_node_answers(error: Exception, redirect: Redirect | None) -> None:
    assert Redirect.of(error) == redirect


# -- the client


async def test_commands_reach_the_owners_of_their_keys(
    cluster: ClusterServers, client: RedisClient
) -> None:
    await asyncio.gather(
        *(client.call("HSET", shard.stats, "n", i) for i, shard in enumerate(SHARDS))
    )
    replies = await asyncio.gather(*(client.call("HGET", shard.stats, "n") for shard in SHARDS))
    assert [int(reply) for reply in replies] == list(range(16))
    for key in on_each_node(cluster):
        assert cluster.ask(cluster.owner(key), "EXISTS", key) == 1


async def test_first_connections_are_no_lost_ones(client: RedisClient) -> None:
    for shard in SHARDS:
        await client.call("EXISTS", shard.stats)
    assert client.connects == 1


async def test_a_node_that_is_away_takes_nobody_with_it(
    cluster: ClusterServers, client: RedisClient
) -> None:
    keys = on_each_node(cluster)
    await asyncio.gather(*(client.call("HSET", key, "n", 1) for key in keys))
    cluster.primaries[1].kill()
    first, second, third = await asyncio.gather(
        *(client.call("HGET", key, "n") for key in keys), return_exceptions=True
    )
    assert (first, third) == (b"1", b"1")
    assert isinstance(second, StoreUnavailable)
    cluster.primaries[1].start()

    async def back() -> bool:
        try:
            return bool(await client.call("HGET", keys[1], "n") == b"1")
        except StoreUnavailable:
            return False

    await wait_until("node that is back", back)
    assert client.connects > 1
    for node in cluster.nodes:
        until("whole Cluster", partial(_is_whole, cluster, node))


async def test_a_slot_is_followed_on_its_way_and_to_its_new_node(
    cluster: ClusterServers, client: RedisClient
) -> None:
    key = SHARDS[7].stats
    slot = key_slot(b"s07")
    source = cluster.owner(key)
    target = next(node for node in cluster.primaries if node is not source)
    mine, theirs = (cluster.ask(node, "CLUSTER", "MYID") for node in (source, target))
    await client.call("EXISTS", key)

    cluster.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", mine)
    cluster.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", theirs)
    # A key that is new is on the target already, though the map says source.
    assert await client.call("HSET", key, "n", 1) == 1
    assert await client.call("HGET", key, "n") == b"1"
    with pytest.raises(ResponseError, match="ASK"):
        cluster.ask(source, "HGET", key, "n")
    assert client.connects == 1

    for node in (target, source):
        cluster.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", theirs)
    assert await client.call("HGET", key, "n") == b"1"

    async def noticed() -> bool:
        return client.connects == 2

    await wait_until("new map", noticed)
    assert (await client.make_connection_at(key)).port == target.port


async def test_a_script_that_its_node_has_forgotten_is_loaded_there(
    cluster: ClusterServers, client: RedisClient
) -> None:
    barrier = Script("barrier")
    for key in on_each_node(cluster):
        assert await client.run(barrier, [key], [1000]) == ["ok"]
    for node in cluster.nodes:
        cluster.ask(node, "SCRIPT", "FLUSH")
    for key in on_each_node(cluster):
        assert await client.run(barrier, [key], [1000]) == ["ok"]


async def test_a_list_is_read_where_it_is(cluster: ClusterServers, client: RedisClient) -> None:
    for key in on_each_node(cluster):
        pushed = BlockingList(client, timeout_s=TIMEOUT_S)
        assert await pushed.pop([key], 0.01) is None
        await client.call("RPUSH", key, "x")
        assert await pushed.pop([key], 1) == (key, b"x")
        await pushed.aclose()


async def test_each_node_waits_for_its_own_writes(cluster: ClusterServers) -> None:
    store = await open_store(
        Settings(redis_url=cluster.url, queue_url=QUEUE, durability="strict", wait_replicas=0)
    )
    before = [waits_on(node) for node in cluster.primaries]
    barrier = Script("barrier")
    for key in on_each_node(cluster):
        await store.run(barrier, [key], [1000], durably=True)
    assert [waits_on(node) for node in cluster.primaries] == [count + 1 for count in before]
    await store.aclose()


def waits_on(node: EmbeddedServer) -> int:
    stats = ask(node.port, "INFO", "commandstats").decode()
    found = [line for line in stats.splitlines() if line.startswith("cmdstat_waitaof:")]
    return int(found[0].split("calls=")[1].split(",")[0]) if found else 0


# -- what is no Cluster, and what is one


async def test_a_server_that_is_no_cluster_is_unfit(redis_server: EmbeddedServer) -> None:
    url = redis_server.url.replace("redis://", "redis+cluster://")
    with pytest.raises(StoreUnfit, match="is no Cluster"):
        await open_store(Settings(redis_url=url, queue_url=QUEUE))


async def test_a_node_of_a_cluster_is_no_server_of_its_own(cluster: ClusterServers) -> None:
    with pytest.raises(StoreUnfit, match=r"redis\+cluster://") as caught:
        await open_store(Settings(redis_url=cluster.primaries[0].url))
    assert caught.value.code == "store_is_cluster"


async def test_a_cluster_of_which_nobody_answers_is_unavailable() -> None:
    url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    with pytest.raises(StoreUnavailable):
        await open_store(Settings(redis_url=url, queue_url=QUEUE, redis_timeout_s=0.5))
    client = connect(url, timeout_s=0.5)
    with pytest.raises(StoreUnavailable):
        await client.call("PING")
    await client.aclose()


# -- the heartbeat's client


def test_a_thread_reaches_all_nodes_and_a_silent_one_costs_its_own_calls_only(
    cluster: ClusterServers,
) -> None:
    client = connect_thread(cluster.url, timeout_s=0.3)
    barrier = Script("barrier")
    calls = [([key], [1000]) for key in on_each_node(cluster)]
    assert client.run_each(barrier, calls) == [[b"ok"]] * 3
    with paused(cluster.primaries[0]):
        for _ in range(2):
            silent, *others = client.run_each(barrier, calls)
            assert isinstance(silent, Exception)
            assert others == [[b"ok"]] * 2
    assert until("answer of all", lambda: client.run_each(barrier, calls) == [[b"ok"]] * 3)
    client.close()


# -- failover


async def test_a_failover_is_followed_by_all_clients(tmp_path: Path) -> None:
    cluster = ClusterServers(tmp_path, replicas=True)
    store = await open_store(Settings(redis_url=cluster.url, queue_url=QUEUE))
    thread = connect_thread(cluster.url, timeout_s=TIMEOUT_S)
    barrier = Script("barrier")
    try:
        keys = on_each_node(cluster)
        calls = [([key], [1000]) for key in keys]
        assert thread.run_each(barrier, calls) == [[b"ok"]] * 3
        seen = store.redis.connects
        cluster.primaries[0].kill()

        async def promoted() -> bool:
            try:
                return bool(await store.run(barrier, [keys[0]], [1000]) == ["ok"])
            except StoreUnavailable:
                return False

        assert not await promoted()
        assert await store.run(barrier, [keys[1]], [1000]) == ["ok"]
        await wait_until("promoted replica", promoted)
        assert store.redis.connects > seen
        until("renewal", lambda: thread.run_each(barrier, calls) == [[b"ok"]] * 3)
    finally:
        thread.close()
        await store.aclose()
        cluster.stop()
