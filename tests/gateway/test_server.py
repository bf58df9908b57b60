"""The server's transport: fewer system calls, and no byte lost by that."""

import asyncio
from typing import Any

import httpx
import pytest
import uvloop

from bursar.store.store import Store
from bursar_gateway.server import _Corked
from support.gateway import Running, begin_turn, raw_stream, wait_until


class Recorder(asyncio.Transport):
    """Keeps what is written and when it was closed or aborted, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes | str] = []

    def write(self, data: Any) -> None:
        self.done.append(bytes(data))

    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")


@pytest.fixture
async def recorder() -> Recorder:
    return Recorder()


async def test_writes_of_one_tick_are_one_and_the_next_tick_is_another(
    recorder: Recorder,
) -> None:
    corked = _Corked(recorder)
    for part in (b"head ", b"", b"body"):
        corked.write(part)
    assert recorder.done == []
    await asyncio.sleep(0)
    corked.write(b"later")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert recorder.done == [b"head body", b"later"]


async def test_what_was_written_goes_out_before_the_connection_closes(
    recorder: Recorder,
) -> None:
    corked = _Corked(recorder)
    corked.write(b"last ")
    corked.write(b"words")
    corked.close()
    await asyncio.sleep(0)
    assert recorder.done == [b"last words", "close"]


async def test_an_abort_waits_for_nothing_and_drops_what_was_held(recorder: Recorder) -> None:
    corked = _Corked(recorder)
    corked.write(b"too late")
    corked.abort()
    await asyncio.sleep(0)
    assert recorder.done == ["abort"]


def test_a_client_that_goes_while_something_is_written_is_no_error() -> None:
    """With the event loop of production, which refuses writes to a connection that is gone."""

    async def lose_a_client() -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        errors: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: errors.append(context))
        lost = loop.create_future()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                # In one tick a write, and before it is flushed the news that nobody is there.
                loop.call_soon(_Corked(transport).write, b"x")
                transport.abort()

            def connection_lost(self, error: Exception | None) -> None:
                lost.set_result(error)

        server = await loop.create_server(Protocol, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await asyncio.wait_for(lost, 5)
        await asyncio.sleep(0)
        writer.close()
        server.close()
        return errors

    assert uvloop.run(lose_a_client()) == []


@pytest.fixture
def written(live: Running, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the gateway hands to its sockets: an entry is one system call."""
    port = int(live.url.rpartition(":")[2])
    calls: list[bytes] = []
    kind = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    write = kind.write

    def noted(transport: Any, data: bytes) -> None:
        if transport.get_extra_info("sockname")[1] == port:
            calls.append(bytes(data))
        write(transport, data)

    monkeypatch.setattr(kind, "write", noted)
    return calls


async def test_an_answer_is_one_system_call(
    admin: httpx.AsyncClient, sid: str, written: list[bytes]
) -> None:
    answer = await admin.get("/v1/workspaces/acme")
    (whole,) = written
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
    assert whole.endswith(answer.content)


async def test_the_head_of_a_stream_goes_out_with_its_first_bytes(
    live: Running, base: str, written: list[bytes]
) -> None:
    _, writer = await raw_stream(live, f"{base}/events")
    assert written[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"retry: 1000\n\n" in written[0]
    writer.close()


async def test_a_connection_that_is_closed_after_its_answer_has_sent_all_of_it(
    live: Running,
) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /schema/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    body = await asyncio.wait_for(reader.read(), 5)
    (length,) = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
    assert len(body) == int(length.split(b":")[1]) > 10_000
    writer.close()


async def test_a_client_that_does_not_read_is_known_as_full_and_aborted(
    live: Running, store: Store, sid: str, base: str, admin: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    aborted: list[bool] = []
    get = _Corked.__getattr__

    def noted(corked: _Corked, name: str) -> Any:
        value = get(corked, name)

        def abort() -> None:
            aborted.append(True)
            value()

        return abort if name == "abort" else value

    monkeypatch.setattr(_Corked, "__getattr__", noted)
    monkeypatch.setattr(live.gateway.settings, "stream_send_timeout_s", 0.2)
    await admin.post(f"{base}/turns", json={"input": "hi"})
    played = await begin_turn(store, "acme", sid)
    _, writer = await raw_stream(live, f"{base}/events")
    chunk = "x" * 100_000
    channel = played.lease.session.events
    for _ in range(200):
        await played.say(chunk)
        if not live.gateway.hub.listeners(channel):
            break
    await wait_until(lambda: not live.gateway.hub.listeners(channel), "the client was cut off")
    assert aborted == [True]
    writer.close()
