"""Bells: JSON jobs that say which session is ready, and nothing else."""

import json
import logging

import msgspec
import pytest

from bursar.embedded import EmbeddedServer, free_port
from bursar.errors import StoreUnavailable
from bursar.leases import InboxItem
from bursar.queue import Bell, Bells, connect_queue, decode_job, encode_job, queue_name
from bursar.registry import AgentEntry, Registry, announce
from bursar.settings import Settings
from bursar.store.keys import PRIORITIES
from bursar.store.redis import RedisClient
from bursar.store.scripts.leases import Ring
from bursar.store.store import Store
from support.stage import Stage


@pytest.fixture
async def bells(store: Store, queue: RedisClient, registry: Registry) -> Bells:
    await queue.call("FLUSHDB")
    return Bells(store, queue, registry)


@pytest.fixture
async def ring(store: Store) -> Ring:
    stage = await Stage.build(store)
    return Ring(stage.session, "echo", "interactive", 3, 7)


async def jobs(
    queue: RedisClient, group: str = "default", priority: str = "interactive"
) -> list[str]:
    members = await queue.call("ZRANGE", queue_name(group, priority), 0, -1)
    return [member.decode() for member in members]


async def test_a_bell_is_json_that_names_the_session(
    bells: Bells, queue: RedisClient, ring: Ring
) -> None:
    await bells.ring(ring)
    assert await jobs(queue) == ["wake:acme/ses1:7:3:"]
    raw = await queue.call("GET", "arq:job:wake:acme/ses1:7:3:")
    assert raw is not None
    job = json.loads(raw)
    assert "drive" in job.values()
    assert ["acme/ses1"] in job.values() or ("acme/ses1",) in job.values()


async def test_repeats_of_a_bell_collapse_and_deliberate_ones_do_not(
    bells: Bells, queue: RedisClient, ring: Ring
) -> None:
    for _ in range(3):
        await bells.ring(ring)
    await bells.ring(Ring(ring.session, "echo", "interactive", 3, 7, again="123"))
    await bells.ring(Ring(ring.session, "echo", "interactive", 3, 8))
    assert sorted(await jobs(queue)) == [
        "wake:acme/ses1:7:3:", "wake:acme/ses1:7:3::123", "wake:acme/ses1:8:3:",
    ]  # fmt: skip


async def test_a_bell_goes_to_its_agents_group_and_its_sessions_class(
    store: Store, bells: Bells, queue: RedisClient, ring: Ring
) -> None:
    worker: dict[str, str | int] = {"id": "w2", "host": "h", "pid": 1, "group": "gpu", "slots": 1}
    await announce(store, worker, [AgentEntry("painter", "gpu", "m")])
    await bells.ring(Ring(ring.session, "painter", "interactive", 1, 1))
    assert await jobs(queue, "gpu") == ["wake:acme/ses1:1:1:"]
    await bells.ring(Ring(ring.session, "echo", "background", 1, 2))
    assert await jobs(queue, priority="background") == ["wake:acme/ses1:2:1:"]
    assert await jobs(queue) == []


async def test_a_lost_queue_costs_a_warning_only(
    store: Store, registry: Registry, ring: Ring, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedServer()
    queue = await connect_queue(Settings(queue_url=server.url, redis_timeout_s=0.5))
    server.stop()
    with caplog.at_level(logging.WARNING):
        await Bells(store, queue, registry).ring(ring)
    assert "no bell for acme/ses1" in caplog.text
    await queue.aclose()


async def test_an_absent_queue_is_unavailable() -> None:
    url = f"redis://127.0.0.1:{free_port()}/1"
    with pytest.raises(StoreUnavailable):
        await connect_queue(Settings(queue_url=url, redis_timeout_s=0.5))


def test_jobs_are_json_and_no_pickle() -> None:
    assert decode_job(encode_job({"a": [1, "x"]})) == {"a": [1, "x"]}
    with pytest.raises(ValueError, match=r"."):
        decode_job(b"\x80\x04\x95")


def test_each_group_has_a_queue_for_each_priority() -> None:
    assert [queue_name("g", kind) for kind in PRIORITIES] == [
        "bursar:q:g:interactive",
        "bursar:q:g:background",
    ]


async def test_a_bell_says_what_it_is_about(bells: Bells, queue: RedisClient, ring: Ring) -> None:
    await bells.ring(msgspec.structs.replace(ring, turn="trn_1"))
    (job,) = await jobs(queue)
    assert Bell.parse(job) == Bell("acme/ses1", InboxItem(7, "input", "trn_1"))
    await bells.ring(msgspec.structs.replace(ring, again="5"))
    assert Bell.parse("wake:acme/ses1:7:3::5") == Bell("acme/ses1")


@pytest.mark.parametrize("job_id", ["wake:", "wake:acme/s", "wake:acme/s:x:1:t", "wake:::::::"])
def test_a_bell_that_nobody_of_ours_rang_does_no_harm(job_id: str) -> None:
    assert Bell.parse(job_id).item is None


async def test_the_first_of_two_bells_leaves_one_token(
    bells: Bells, queue: RedisClient, ring: Ring
) -> None:
    """More would only wake workers for nothing: a claim passes on what it leaves."""
    await bells.ring(ring)
    await bells.ring(Ring(ring.session, "echo", "interactive", 3, 8))
    assert await queue.call("LLEN", f"{queue_name('default')}:doorbell") == 1
