"""What is arq's works as with arq, a bell is heard at once, and an outage is waited out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from arq import cron
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus
from arq.worker import Retry, Worker, func

from bursar.embedded import EmbeddedServer
from bursar.queue import arq_pool, connect_queue, decode_job, encode_job, queue_name
from bursar.settings import Settings
from bursar.store.blocking import BlockingList
from bursar.store.redis import RedisClient
from bursar.store.scripts.queue import put_job
from bursar_worker.queue import QueueWorker
from support.workers import wait_until

INTERACTIVE, BACKGROUND = (queue_name("default", each) for each in ("interactive", "background"))
Make = Callable[..., QueueWorker]


@pytest.fixture
def server() -> Any:
    with EmbeddedServer() as own:
        yield own


@pytest.fixture
def queue_settings(server: EmbeddedServer) -> Settings:
    return Settings(redis_url=server.url, redis_timeout_s=2)


@pytest.fixture
async def client(queue_settings: Settings) -> AsyncIterator[RedisClient]:
    opened = await connect_queue(queue_settings)
    yield opened
    await opened.aclose()


@pytest.fixture
async def producer(queue_settings: Settings) -> AsyncIterator[ArqRedis]:
    """A plain arq producer that knows nothing of doorbells."""
    pool = arq_pool(queue_settings)
    pool.default_queue_name = INTERACTIVE
    yield pool
    await pool.aclose(close_connection_pool=True)


@pytest.fixture
def make(queue_settings: Settings, client: RedisClient) -> Make:
    def worker(*functions: Any, **options: Any) -> QueueWorker:
        return QueueWorker(
            functions,
            queues=(INTERACTIVE, BACKGROUND),
            client=client,
            bells=BlockingList(client, timeout_s=2),
            redis_pool=arq_pool(queue_settings),
            handle_signals=False,
            **{"job_serializer": encode_job, "job_deserializer": decode_job} | options,
        )

    return worker


@asynccontextmanager
async def running(worker: QueueWorker) -> AsyncIterator[QueueWorker]:
    task = asyncio.create_task(worker.async_run())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.close()


async def greet(ctx: dict[Any, Any], name: str, *, mark: str = "!") -> str:
    return f"hello {name}{mark}"


async def enqueued(producer: ArqRedis, *args: Any, **kwargs: Any) -> Job:
    job = await producer.enqueue_job(*args, **kwargs)
    assert job is not None
    return job


async def test_a_plain_producers_job_runs_and_its_result_is_kept(
    make: Make, producer: ArqRedis
) -> None:
    async with running(make(greet)):
        job = await enqueued(producer, "greet", "ada", mark="?")
        assert await job.result(timeout=5, poll_delay=0.01) == "hello ada?"
        assert await job.status() is JobStatus.complete
        info = await job.result_info()
        assert info is not None
        assert (info.function, list(info.args), info.success) == ("greet", ["ada"], True)
    assert await producer.zcard(INTERACTIVE) == 0


async def test_jobs_of_both_queues_run_and_leave_them(make: Make, producer: ArqRedis) -> None:
    async with running(make(greet)):
        jobs = [
            await enqueued(producer, "greet", name, _queue_name=queue)
            for name, queue in (("a", INTERACTIVE), ("b", BACKGROUND))
        ]
        assert [await job.result(timeout=5, poll_delay=0.01) for job in jobs] == [
            "hello a!", "hello b!",
        ]  # fmt: skip
    assert await producer.zcard(BACKGROUND) == 0


async def test_a_job_id_is_taken_once(make: Make, producer: ArqRedis) -> None:
    job = await enqueued(producer, "greet", "ada", _job_id="one")
    assert await producer.enqueue_job("greet", "bob", _job_id="one") is None
    async with running(make(greet)):
        assert await job.result(timeout=5, poll_delay=0.01) == "hello ada!"
    assert await producer.enqueue_job("greet", "bob", _job_id="one") is None, "its result is kept"


async def test_a_deferred_job_starts_when_it_is_due(make: Make, producer: ArqRedis) -> None:
    loop = asyncio.get_running_loop()
    async with running(make(greet)):
        began = loop.time()
        job = await enqueued(producer, "greet", "ada", _defer_by=timedelta(seconds=0.4))
        assert await job.status() is JobStatus.deferred
        assert await job.result(timeout=5, poll_delay=0.01) == "hello ada!"
        assert loop.time() - began >= 0.39


async def test_a_job_that_asks_to_be_tried_again_is_tried_when_it_said(
    make: Make, producer: ArqRedis
) -> None:
    loop = asyncio.get_running_loop()
    tries: list[tuple[int, float]] = []

    async def stubborn(ctx: dict[Any, Any]) -> str:
        tries.append((ctx["job_try"], loop.time()))
        if ctx["job_try"] < 3:
            raise Retry(defer=0.2)
        return "done"

    async with running(make(func(stubborn, name="stubborn"))):
        job = await enqueued(producer, "stubborn")
        assert await job.result(timeout=10, poll_delay=0.01) == "done"
    assert [number for number, _ in tries] == [1, 2, 3]
    for (_, first), (_, second) in pairwise(tries):
        assert 0.19 <= second - first < 2


async def test_a_job_that_fails_says_so_and_tries_end(make: Make, producer: ArqRedis) -> None:
    async def broken(ctx: dict[Any, Any]) -> None:
        raise Retry

    worker = make(func(broken, name="broken", max_tries=2))
    async with running(worker):
        await enqueued(producer, "broken", _job_id="x")
        await wait_until("failure", lambda: asyncio.sleep(0, worker.jobs_failed == 1))
    assert worker.jobs_retried == 2
    assert await producer.exists("arq:job:x", "arq:retry:x", "arq:in-progress:x") == 0


async def test_a_job_that_is_too_slow_is_cut_off(make: Make, producer: ArqRedis) -> None:
    ended = asyncio.Event()

    async def slow(ctx: dict[Any, Any]) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    worker = make(func(slow, name="slow", timeout=0.2, keep_result=0))
    async with running(worker):
        await enqueued(producer, "slow")
        await asyncio.wait_for(ended.wait(), 5)
        await wait_until("failure", lambda: asyncio.sleep(0, worker.jobs_failed == 1))


async def test_a_running_job_can_be_aborted(make: Make, producer: ArqRedis) -> None:
    started = asyncio.Event()

    async def endless(ctx: dict[Any, Any]) -> None:
        started.set()
        await asyncio.sleep(60)

    worker = make(func(endless, name="endless", keep_result=0), allow_abort_jobs=True)
    async with running(worker):
        job = await enqueued(producer, "endless")
        await asyncio.wait_for(started.wait(), 5)
        await producer.zadd("arq:abort", {job.job_id: 1})
        await wait_until("abort", lambda: asyncio.sleep(0, worker.jobs_failed == 1))
    assert await producer.zcard(INTERACTIVE) == 0


async def test_every_hook_is_called_in_order(make: Make, producer: ArqRedis) -> None:
    seen: list[str] = []

    def note(name: str) -> Callable[[dict[Any, Any]], Any]:
        async def hook(ctx: dict[Any, Any]) -> None:
            seen.append(f"{name} {ctx.get('job_try', '')}".strip())

        return hook

    hooks = ("on_startup", "on_job_start", "on_job_end", "after_job_end", "on_shutdown")
    async with running(make(greet, **{name: note(name) for name in hooks})):
        job = await enqueued(producer, "greet", "ada")
        await job.result(timeout=5, poll_delay=0.01)
        await wait_until("last hook", lambda: asyncio.sleep(0, "after_job_end 1" in seen))
    assert seen == [
        "on_startup",
        "on_job_start 1",
        "on_job_end 1",
        "after_job_end 1",
        "on_shutdown",
    ]


async def test_cron_jobs_run_by_themselves(make: Make) -> None:
    ran = asyncio.Event()

    async def tick(ctx: dict[Any, Any]) -> None:
        ran.set()

    every_second = cron(tick, second=set(range(60)), keep_result=0)
    async with running(make(cron_jobs=[every_second])):
        await asyncio.wait_for(ran.wait(), 5)


async def test_a_burst_runs_what_is_there_and_returns(make: Make, producer: ArqRedis) -> None:
    for name in "abc":
        await enqueued(producer, "greet", name)
    worker = make(greet, burst=True)
    assert await worker.run_check() == 3
    limited = make(greet, burst=True, max_burst_jobs=1)
    for name in "de":
        await enqueued(producer, "greet", name)
    assert await limited.run_check() == 1
    for each in (worker, limited):
        await each.close()


async def test_no_more_than_max_jobs_run_at_once_and_the_rest_follows(
    make: Make, producer: ArqRedis
) -> None:
    now, most = 0, 0

    async def busy(ctx: dict[Any, Any]) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1

    worker = make(func(busy, name="busy", keep_result=0), max_jobs=3)
    for _ in range(12):
        await enqueued(producer, "busy")
    async with running(worker):
        await wait_until("12 jobs", lambda: asyncio.sleep(0, worker.jobs_complete == 12))
    assert most == 3


async def test_a_stopped_workers_job_runs_again_elsewhere(make: Make, producer: ArqRedis) -> None:
    starts: list[int] = []

    async def first_hangs(ctx: dict[Any, Any]) -> str:
        starts.append(ctx["job_try"])
        if len(starts) == 1:
            await asyncio.sleep(60)
        return "done"

    job = await enqueued(producer, "first_hangs")
    first = make(func(first_hangs, name="first_hangs"))
    async with running(first):
        await wait_until("first start", lambda: asyncio.sleep(0, starts))
    async with running(make(func(first_hangs, name="first_hangs"))):
        assert await job.result(timeout=5, poll_delay=0.01) == "done"
    assert starts == [1, 2]


async def test_a_stock_arq_worker_serves_the_same_queue(
    client: RedisClient, producer: ArqRedis, queue_settings: Settings
) -> None:
    """As during an upgrade: bells are jobs that any arq worker can run."""
    heard: list[str] = []

    async def drive(ctx: dict[Any, Any], ref: str) -> None:
        heard.append(ref)

    payload = encode_job({"t": None, "f": "drive", "a": ["acme/ses1"], "k": {}, "et": 1})
    await put_job(client, INTERACTIVE, "wake:acme/ses1:1:0", payload, ttl_ms=60_000)
    stock = Worker(
        [func(drive, name="drive", keep_result=0)],
        queue_name=INTERACTIVE,
        redis_pool=producer,
        handle_signals=False,
        burst=True,
        poll_delay=0.01,
        job_serializer=encode_job,
        job_deserializer=decode_job,
    )
    await stock.async_run()
    assert heard == ["acme/ses1"]


async def test_bells_reach_the_listener_without_arqs_bookkeeping(
    make: Make, client: RedisClient
) -> None:
    heard: list[str] = []
    worker = make(greet, on_bell=lambda _, job_id: heard.append(job_id))
    async with running(worker):
        for number in range(3):
            await put_job(client, INTERACTIVE, f"wake:{number}", b"", ttl_ms=60_000)
        await wait_until("bells", lambda: asyncio.sleep(0, len(heard) == 3))
    assert sorted(heard) == ["wake:0", "wake:1", "wake:2"]
    assert worker.jobs_complete == worker.jobs_failed == 0


async def test_a_token_that_comes_when_there_is_no_room_any_more_goes_to_another_worker(
    make: Make, client: RedisClient
) -> None:
    room, heard = (1, 0), asyncio.Event()
    full = make(greet, on_bell=lambda *_: None, room=lambda: room)
    idle = make(greet, on_bell=lambda *_: heard.set(), room=lambda: (9, 9))
    async with running(full), running(idle):
        for number in range(5):
            room = (1, 0)
            full.made_room()
            await asyncio.sleep(0.15)
            room = (0, 0)
            full.made_room()
            await asyncio.sleep(0.01)
            heard.clear()
            await put_job(client, INTERACTIVE, f"wake:{number}", b"", ttl_ms=60_000)
            await asyncio.wait_for(heard.wait(), 0.3)


async def test_nothing_is_claimed_without_room_and_it_is_when_there_is(
    make: Make, client: RedisClient
) -> None:
    heard: list[str] = []
    room = 0
    worker = make(greet, on_bell=lambda _, job_id: heard.append(job_id), room=lambda: (room, room))
    async with running(worker):
        await put_job(client, INTERACTIVE, "wake:1", b"", ttl_ms=60_000)
        await asyncio.sleep(0.1)
        assert heard == []
        room = 1
        worker.made_room()
        await wait_until("bell", lambda: asyncio.sleep(0, heard))


async def test_an_outage_of_the_queue_is_waited_out(
    make: Make, server: EmbeddedServer, client: RedisClient, producer: ArqRedis
) -> None:
    heard: list[str] = []
    port = server.port
    async with running(make(greet, on_bell=lambda _, job_id: heard.append(job_id))) as worker:
        await put_job(client, INTERACTIVE, "wake:1", b"", ttl_ms=60_000)
        await wait_until("first bell", lambda: asyncio.sleep(0, heard))
        server.kill()
        await asyncio.sleep(0.5)
        with EmbeddedServer(port=port):
            await put_job(client, INTERACTIVE, "wake:2", b"", ttl_ms=60_000)
            await wait_until("second bell", lambda: asyncio.sleep(0, len(heard) == 2))
            assert worker.main_task is not None
            assert not worker.main_task.done()
            job = await enqueued(producer, "greet", "ada")
            assert await job.result(timeout=5, poll_delay=0.01) == "hello ada!"
