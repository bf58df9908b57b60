"""Typed calls of the scripts of the queue, which lives in a database of its own."""

from collections.abc import Sequence

import msgspec
from arq.constants import in_progress_key_prefix, job_key_prefix

from bursar.store.codec import text
from bursar.store.redis import RedisClient
from bursar.store.scripts.loader import Script

__all__ = ["BELL", "ClaimedJobs", "QueuedJob", "claim_jobs", "doorbell", "put_job"]

BELL = "wake:"
"""How the ids of bells begin: jobs that are gone with their claim."""

_PUT = Script("queue_put")
_CLAIM = Script("queue_claim")


class QueuedJob(msgspec.Struct, frozen=True):
    """A job that is ours now. ``score`` is when it was due, as arq's `run_job` takes it."""

    id: str
    queue: str
    score: int


class ClaimedJobs(msgspec.Struct, frozen=True):
    """``next_ms``: until a job that is in the queue now gets due; None if there is none."""

    jobs: list[QueuedJob]
    next_ms: int | None


def doorbell(queue: str) -> str:
    """List with a token while a queue has jobs that nobody was woken for: one's id, or nothing."""
    return f"{queue}:doorbell"


async def put_job(
    redis: RedisClient, queue: str, job_id: str, payload: bytes, *, ttl_ms: int
) -> bool:
    """Enqueue and ring. False: the job is there already."""
    keys = [job_key_prefix + job_id, queue, doorbell(queue)]
    reply = await redis.run(_PUT, keys, [job_id, payload, ttl_ms])
    return bool(reply[0] == "ok")


async def claim_jobs(
    redis: RedisClient,
    queues: Sequence[str],
    *,
    heard: str = "",
    room: int,
    room_other: int,
    favour: int,
    in_progress_ms: int,
) -> ClaimedJobs:
    """Take up to ``room`` due jobs, of the other queue up to ``room_other``.

    Args:
        queues: the urgent one and the other one.
        heard: a bell that came with a token and is being answered: it only leaves the queue.
        favour: so many jobs of the other one go before the urgent ones.
        in_progress_ms: after which a job that did not end is due again; bells are not.

    """
    urgent, other = queues
    keys = [urgent, doorbell(urgent), other, doorbell(other)]
    args = [heard, room, min(room, room_other), favour, in_progress_ms, BELL]
    args += [job_key_prefix, in_progress_key_prefix]
    reply = await redis.run(_CLAIM, keys, args)
    jobs = [
        QueuedJob(text(part[i]), queue, int(float(part[i + 1])))
        for queue, part in zip(queues, reply[1:3], strict=True)
        for i in range(0, len(part), 2)
    ]
    next_ms = int(reply[3])
    return ClaimedJobs(jobs, None if next_ms < 0 else next_ms)
