"""The client: what is issued in one tick travels together, and each caller gets its own reply."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from redis.exceptions import ResponseError

from bursar.embedded import EmbeddedServer
from bursar.errors import StoreUnavailable, StoreUnfit
from bursar.store.link import Sent, store_error
from bursar.store.redis import RedisClient, connect
from bursar.store.route import route_to
from bursar.store.server import Server


class Counting(Server):
    """A server's client that notes how many commands each write carried."""

    def __init__(self, url: str) -> None:
        super().__init__(route_to(url, timeout_s=3), timeout_s=3)
        self.sizes: list[int] = []

    def send(self, commands: Sequence[Sent], *, durably: bool = False) -> None:
        self.sizes.append(len(commands))
        super().send(commands, durably=durably)


@pytest.fixture
def counting(redis_server: EmbeddedServer) -> Counting:
    return Counting(redis_server.url)


@pytest.fixture
async def client(counting: Counting) -> AsyncIterator[RedisClient]:
    client = RedisClient(counting)
    await client.call("FLUSHALL")
    counting.sizes.clear()
    yield client
    await client.aclose()


async def test_calls_of_one_tick_travel_together(client: RedisClient, counting: Counting) -> None:
    replies = await asyncio.gather(*(client.call("ECHO", str(i)) for i in range(1200)))
    assert replies == [str(i).encode() for i in range(1200)]
    assert counting.sizes == [1200]


async def test_calls_of_later_ticks_do_not_wait_for_earlier_replies(
    client: RedisClient, counting: Counting
) -> None:
    calls = []
    for i in range(5):
        calls.append(client.call("ECHO", str(i)))
        await asyncio.sleep(0)
    assert counting.sizes == [1, 1, 1, 1, 1]
    assert await asyncio.gather(*calls) == [str(i).encode() for i in range(5)]


async def test_a_large_reply_and_a_large_argument_arrive_whole(client: RedisClient) -> None:
    large = bytes(range(256)) * 40_000
    await client.call("SET", "k", large)
    whole, after = client.call("GET", "k"), client.call("ECHO", "x")
    assert await whole == large
    assert await after == b"x"


async def test_replies_mean_what_redis_py_makes_of_them(client: RedisClient) -> None:
    await client.call("HSET", "h", "a", 1)
    assert await client.call("HGETALL", "h") == {b"a": b"1"}
    assert await client.call("SET", "k", "v")
    seconds, microseconds = await client.call("TIME")
    assert isinstance(seconds, int)
    assert isinstance(microseconds, int)
    assert (await client.call("INFO"))["role"] == "master"


async def test_a_call_is_sent_although_nobody_waits_for_it(client: RedisClient) -> None:
    client.call("SET", "k", 1)
    assert await client.call("GET", "k") == b"1"


async def test_a_refused_command_fails_alone(client: RedisClient) -> None:
    good, bad, other = (
        client.call("SET", "k", "v"),
        client.call("LPUSH", "k", 1),
        client.call("GET", "k"),
    )
    assert await good
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await bad
    assert await other == b"v"


@pytest.mark.parametrize("argument", [None, 1.5, True, ["a"], "\ud800"])
async def test_what_cannot_be_sent_fails_at_once_and_harms_nobody(
    client: RedisClient, argument: Any
) -> None:
    good = client.call("ECHO", "x")
    with pytest.raises((TypeError, UnicodeError)):
        client.call("ECHO", argument)
    assert await good == b"x"


async def test_values_arrive_as_bytes_text_and_integers_were_written(client: RedisClient) -> None:
    await client.call("RPUSH", "k", b"\x00\xff", "ü", -5, 10**15)
    assert await client.call("LRANGE", "k", 0, -1) == [
        b"\x00\xff",
        "ü".encode(),
        b"-5",
        b"1" + b"0" * 15,
    ]


async def test_ten_thousand_cancels_leave_every_other_reply_in_place(client: RedisClient) -> None:
    chance = random.Random(7)

    async def caller(number: int) -> None:
        for i in range(40):
            wanted = f"{number}/{i}"
            call = client.call("ECHO", wanted)
            if chance.random() < 0.5:
                if chance.random() < 0.5:
                    await asyncio.sleep(0)
                call.cancel()
                cancelled.append(wanted)
            else:
                assert await call == wanted.encode()

    cancelled: list[str] = []
    await asyncio.gather(*(caller(number) for number in range(500)))
    assert len(cancelled) > 9_500
    assert await client.call("ECHO", "still in step") == b"still in step"


async def test_a_cancelled_write_is_applied_all_the_same(client: RedisClient) -> None:
    task = asyncio.create_task(_wait(client.call("INCR", "n")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await client.call("GET", "n") == b"1"


async def _wait(call: asyncio.Future[Any]) -> Any:
    return await call


async def test_a_lost_server_is_unavailable_and_found_again_when_it_is_back() -> None:
    server = EmbeddedServer()
    client = connect(server.url, timeout_s=1)
    try:
        assert await client.call("ECHO", "x") == b"x"
        server.kill()
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await client.call("ECHO", "x")
        server.start()
        assert await asyncio.gather(*(client.call("ECHO", "y") for _ in range(3))) == [b"y"] * 3
    finally:
        await client.aclose()
        server.stop()


async def test_a_server_that_does_not_answer_is_unavailable_in_time() -> None:
    left = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = connect(f"redis://127.0.0.1:{port}/0", timeout_s=0.2)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await client.call("ECHO", "x")
    assert time.monotonic() - started < 2
    await client.aclose()
    await left.wait()
    server.close()
    await server.wait_closed()


class CuttingProxy:
    """Passes bytes on to a Redis and cuts the connection in place of the reply when told to."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.cutting = False
        self.handlers: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/0"

    async def stop(self) -> None:
        self.server.close()
        await asyncio.gather(*self.handlers)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handlers.add(asyncio.get_running_loop().create_task(self.serve(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection("127.0.0.1", self.target)
        back = asyncio.create_task(self.pass_back(from_redis, writer))
        while data := await reader.read(65536):
            to_redis.write(data)
        to_redis.close()
        await back
        await to_redis.wait_closed()
        await writer.wait_closed()

    async def pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.cutting:
                break
            writer.write(data)
        writer.close()


async def test_a_write_whose_reply_is_lost_is_not_sent_twice(redis_server: EmbeddedServer) -> None:
    proxy = CuttingProxy(redis_server.port)
    client = connect(await proxy.start(), timeout_s=1)
    await client.call("DEL", "counter")
    proxy.cutting = True
    with pytest.raises(StoreUnavailable):
        await client.call("HINCRBY", "counter", "n", 5)
    proxy.cutting = False
    assert await client.call("HGET", "counter", "n") == b"5"
    await client.call("DEL", "counter")
    await client.aclose()
    await proxy.stop()


async def test_closing_lets_what_is_under_way_land(redis_server: EmbeddedServer) -> None:
    client = connect(redis_server.url, timeout_s=3)
    calls = [client.call("ECHO", str(i)) for i in range(10)]
    await client.aclose()
    assert [call.result() for call in calls] == [str(i).encode() for i in range(10)]


async def test_a_wrong_password_is_unfit_not_unavailable(redis_server: EmbeddedServer) -> None:
    url = f"redis://nobody:wrong@127.0.0.1:{redis_server.port}/0"
    client = connect(url, timeout_s=3)
    with pytest.raises(StoreUnfit) as caught:
        await client.call("ECHO", "x")
    assert caught.value.code == "store_forbidden"
    await client.aclose()


@pytest.mark.parametrize(
    "answer",
    ["MISCONF disk", "NOREPLICAS x", "BUSY script", "UNBLOCKED x", "CLUSTERDOWN x", "TRYAGAIN x"],
)
async def test_a_server_that_cannot_take_writes_now_is_unavailable(answer: str) -> None:
    assert isinstance(store_error(ResponseError(answer)), StoreUnavailable)
    assert isinstance(store_error(ResponseError("ERR syntax")), ResponseError)


async def test_a_server_without_memory_is_unavailable(client: RedisClient) -> None:
    await client.call("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable, match="maxmemory"):
            await client.call("SET", "k", "v")
    finally:
        await client.call("CONFIG", "SET", "maxmemory", 0)


async def test_a_blocked_event_loop_loses_no_reply(redis_server: EmbeddedServer) -> None:
    """The replies were there in time; it was us who did not look."""
    client = connect(redis_server.url, timeout_s=0.4)
    assert await client.call("ECHO", "warm") == b"warm"
    calls = [client.call("ECHO", str(i)) for i in range(10)]
    await asyncio.sleep(0)
    time.sleep(1.5)  # noqa: ASYNC251  (that is the point)
    assert await asyncio.gather(*calls) == [str(i).encode() for i in range(10)]
    await client.aclose()


async def test_more_than_redis_can_keep_up_with_is_refused_at_once(client: RedisClient) -> None:
    first = [client.call("ECHO", "x") for _ in range(50_000)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable, match="too many"):
        await client.call("ECHO", "x")
    assert await asyncio.gather(*first) == [b"x"] * 50_000
    assert await client.call("ECHO", "again") == b"again"
