"""The queue's scripts: what a bell leaves behind, who gets which job, and who is woken next."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bursar.store.redis import RedisClient
from bursar.store.scripts.queue import ClaimedJobs, claim_jobs, doorbell, put_job
from bursar.store.store import Store

URGENT, OTHER = "q:urgent", "q:other"
QUEUES = (URGENT, OTHER)
Due = Callable[..., Awaitable[None]]


@pytest.fixture
async def redis(any_store: Store) -> Any:
    """The queue's client; in production it has a database of its own."""
    yield any_store.redis
    for pattern in ("q:*", "arq:*"):
        for key in await any_store.redis.call("KEYS", pattern):
            await any_store.redis.call("DEL", key)


async def claim(redis: RedisClient, room: int, *, favour: int = 0) -> ClaimedJobs:
    return await claim_jobs(
        redis, QUEUES, room=room, room_other=room, favour=favour, in_progress_ms=60_000
    )


async def ids(redis: RedisClient, room: int, *, favour: int = 0) -> list[str]:
    return [job.id for job in (await claim(redis, room, favour=favour)).jobs]


async def rung(redis: RedisClient, queue: str = URGENT) -> int:
    return int(await redis.call("LLEN", doorbell(queue)))


@pytest.fixture
def due(redis: RedisClient) -> Due:
    """Put jobs into a queue as a plain arq producer does: without a token."""

    async def put(*job_ids: str, queue: str = URGENT, score: int = 1) -> None:
        for offset, job_id in enumerate(job_ids):
            await redis.call("ZADD", queue, score + offset, job_id)
            await redis.call("SET", f"arq:job:{job_id}", "payload", "PX", 60_000)

    return put


async def test_a_job_is_put_once_and_rings_once(redis: RedisClient) -> None:
    assert await put_job(redis, URGENT, "wake:a", b"payload", ttl_ms=60_000)
    assert not await put_job(redis, URGENT, "wake:a", b"other", ttl_ms=60_000)
    assert await put_job(redis, URGENT, "wake:b", b"payload", ttl_ms=60_000)
    assert await redis.call("GET", "arq:job:wake:a") == b"payload"
    assert await redis.call("ZCARD", URGENT) == 2
    assert await rung(redis) == 1
    assert 0 < await redis.call("PTTL", "arq:job:wake:a") <= 60_000


async def test_a_bell_is_gone_with_its_claim(redis: RedisClient) -> None:
    await put_job(redis, URGENT, "wake:a", b"payload", ttl_ms=60_000)
    assert await ids(redis, 5) == ["wake:a"]
    assert await ids(redis, 5) == []
    assert await redis.call("EXISTS", "arq:job:wake:a", URGENT, doorbell(URGENT)) == 0


async def test_the_token_names_the_bell_and_a_claim_drops_what_was_heard(
    redis: RedisClient, due: Due
) -> None:
    await put_job(redis, OTHER, "wake:a", b"payload", ttl_ms=60_000)
    await due("wake:b")
    assert await redis.call("LRANGE", doorbell(OTHER), 0, -1) == [b"wake:a"]
    claimed = await claim_jobs(
        redis, QUEUES, heard="wake:a", room=5, room_other=5, favour=0, in_progress_ms=60_000
    )
    assert [job.id for job in claimed.jobs] == ["wake:b"]
    assert await redis.call("EXISTS", "arq:job:wake:a", OTHER) == 0


async def test_what_was_heard_leaves_the_queue_without_room(redis: RedisClient, due: Due) -> None:
    await due("wake:a", "wake:b")
    claimed = await claim_jobs(
        redis, QUEUES, heard="wake:a", room=0, room_other=0, favour=1, in_progress_ms=60_000
    )
    assert claimed.jobs == []
    assert await redis.call("ZRANGE", URGENT, 0, -1) == [b"wake:b"]
    assert await rung(redis) == 1


async def test_another_job_stays_until_its_worker_must_be_dead(
    redis: RedisClient, due: Due
) -> None:
    await due("job", score=7)
    (job,) = (await claim(redis, 5)).jobs
    assert (job.id, job.queue, job.score) == ("job", URGENT, 7)
    assert await redis.call("GET", "arq:in-progress:job") == b"1"
    assert await redis.call("EXISTS", "arq:job:job") == 1
    again = await claim(redis, 5)
    assert again.jobs == []
    assert again.next_ms is not None
    assert 59_000 < again.next_ms <= 60_000


async def test_a_claim_takes_no_more_than_there_is_room_for(redis: RedisClient, due: Due) -> None:
    await due("wake:1", "wake:2", "wake:3", "wake:4")
    assert await ids(redis, 3) == ["wake:1", "wake:2", "wake:3"]
    assert await rung(redis) == 1, "whoever is idle has to come for the rest"
    assert await ids(redis, 3) == ["wake:4"]
    assert await rung(redis) == 0


async def test_a_claim_that_took_everything_leaves_no_token(redis: RedisClient, due: Due) -> None:
    await due("wake:1")
    await redis.call("LPUSH", doorbell(URGENT), 1)
    assert await ids(redis, 1) == ["wake:1"]
    assert await rung(redis) == 0


async def test_jobs_in_progress_at_the_head_hide_nothing_and_ring_for_nothing(
    redis: RedisClient, due: Due
) -> None:
    """A stock arq worker leaves its running jobs due; two hundred of them block stock arq."""
    running = [f"long-{number}" for number in range(90)]
    await due(*running)
    for job_id in running:
        await redis.call("SET", f"arq:in-progress:{job_id}", 1, "PX", 60_000)
    await due("short", score=1000)
    assert await ids(redis, 5) == ["short"]
    assert await rung(redis) == 0
    assert await ids(redis, 5) == []


async def test_the_urgent_queue_goes_first_and_the_other_is_not_starved(
    redis: RedisClient, due: Due
) -> None:
    await due("wake:u1", "wake:u2", "wake:u3", "wake:u4")
    await due("wake:o1", "wake:o2", queue=OTHER)
    assert await ids(redis, 2) == ["wake:u1", "wake:u2"]
    assert sorted(await ids(redis, 2, favour=1)) == ["wake:o1", "wake:u3"]
    assert sorted(await ids(redis, 9)) == ["wake:o2", "wake:u4"]
    assert await ids(redis, 9, favour=1) == []


async def test_what_is_left_in_either_queue_is_rung_for(redis: RedisClient, due: Due) -> None:
    await due("wake:u1", "wake:u2")
    await due("wake:o1", queue=OTHER)
    await claim(redis, 1)
    assert [await rung(redis), await rung(redis, OTHER)] == [1, 1]
    await claim(redis, 1)
    assert [await rung(redis), await rung(redis, OTHER)] == [0, 1]


async def test_a_deferred_job_waits_and_says_for_how_long(redis: RedisClient, due: Due) -> None:
    seconds, _ = await redis.call("TIME")
    await due("later", queue=OTHER, score=(int(seconds) + 30) * 1000)
    claimed = await claim(redis, 5)
    assert claimed.jobs == []
    assert claimed.next_ms is not None
    assert 28_000 < claimed.next_ms <= 30_000
    assert (await claim(redis, 5)).next_ms == pytest.approx(claimed.next_ms, abs=1000)
    await redis.call("DEL", OTHER)
    assert (await claim(redis, 5)).next_ms is None
