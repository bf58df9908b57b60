"""What streams and requests do when Redis or a client's connection goes away."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from bursar import sessions, workspaces
from bursar.embedded import EmbeddedServer
from bursar.registry import AgentEntry, Registry, announce
from bursar.sessions import SessionSpec
from bursar.settings import GatewaySettings, Settings
from bursar.store.opening import open_store
from bursar.store.store import Store
from support.gateway import (
    ADMIN,
    Running,
    begin_turn,
    events,
    kinds,
    raw_stream,
    read_all,
    running,
    take,
    wait_until,
)

_WORKER: dict[str, str | int] = {
    "id": "w1", "host": "test", "pid": 1, "group": "default", "slots": 1, "busy": 0,
    "agents": "echo", "started_ms": 1,
}  # fmt: skip


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A server that can be killed, and finds its data when it is started again."""
    with EmbeddedServer(data=tmp_path / "redis") as server:
        yield server


async def _prepared(url: str) -> tuple[Store, str]:
    store = await open_store(Settings(redis_url=url))
    await announce(store, _WORKER, [AgentEntry("echo", "default", "m", model="local:echo")])
    await workspaces.create(store, "acme")
    session = await sessions.create(store, Registry(store), "acme", SessionSpec("echo", user="ann"))
    return store, session.id


def _settings(url: str, **more: object) -> GatewaySettings:
    settings = GatewaySettings(redis_url=url, port=0, api_key=SecretStr(ADMIN), redis_timeout_s=1)
    return settings.model_copy(update=more)


async def test_a_stream_survives_a_restart_of_redis_and_misses_nothing(
    own_server: EmbeddedServer,
) -> None:
    store, sid = await _prepared(own_server.url)
    path = f"/v1/workspaces/acme/sessions/{sid}/turns"
    async with running(_settings(own_server.url)) as live, live.client() as client:
        turn = (await client.post(path, json={"input": "hi"})).json()["turn"]
        played = await begin_turn(store, "acme", sid)
        async with events(client, f"/v1/workspaces/acme/turns/{turn}/events") as source:
            first = await take(source, 2)
            own_server.kill()
            await _refused(live)
            own_server.start()
            await wait_until(lambda: _answers(store), "Redis answers again")
            await played.say("a", "b")
            await played.finish()
            rest = await take(source, 99)
        assert kinds(first + rest) == [
            "turn.queued", "turn.started", "text.delta", "text.delta", "turn.succeeded",
        ]  # fmt: skip
    await store.aclose()


async def _answers(store: Store) -> bool:
    try:
        await store.redis.call("PING")
    except Exception:  # noqa: BLE001  (that it raises is the answer)
        return False
    return True


async def _refused(live: Running) -> None:
    """Requests are refused with a problem while the store is away; the process stays up."""
    async with live.client() as client:
        answer = await client.get("/v1/workspaces/acme")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert answer.headers["retry-after"] == "1"
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["code"]) == (503, "store_unavailable")
        posted = await client.post("/v1/workspaces/acme/sessions/x/turns", json={"input": "x"})
        assert posted.status_code == 503
        assert (await client.get("/healthz")).status_code == 200


async def test_a_store_that_lost_its_data_resets_streams(own_server: EmbeddedServer) -> None:
    store, sid = await _prepared(own_server.url)
    path = f"/v1/workspaces/acme/sessions/{sid}/events"
    async with running(_settings(own_server.url)) as live, live.client() as client:
        before = live.gateway.store.generation
        async with events(client, path) as source:
            await take(source, 1)
            await store.redis.call("FLUSHALL")
            await store.redis.call("CLIENT", "KILL", "TYPE", "pubsub")
            sent = await take(source, 99)
        assert kinds(sent) == ["reset", "session.ended"]
        assert live.gateway.store.generation != before
    await store.aclose()


async def test_a_lost_event_connection_is_refilled_from_the_log(
    own_server: EmbeddedServer,
) -> None:
    store, sid = await _prepared(own_server.url)
    path = f"/v1/workspaces/acme/sessions/{sid}/turns"
    async with running(_settings(own_server.url)) as live, live.client() as client:
        turn = (await client.post(path, json={"input": "hi"})).json()["turn"]
        played = await begin_turn(store, "acme", sid)
        texts = [str(number) for number in range(100)]
        async with events(client, f"/v1/workspaces/acme/turns/{turn}/events") as source:
            await take(source, 2)
            for at in range(0, 100, 5):
                await store.redis.call("CLIENT", "KILL", "TYPE", "pubsub")
                await played.say(*texts[at : at + 5])
            await played.finish()
            sent = await take(source, 999)
        assert [event.json()["text"] for event in sent[:-1]] == texts
        assert sent[-1].event == "turn.succeeded"
    await store.aclose()


async def test_a_client_that_does_not_read_is_cut_off_and_can_resume(
    own_server: EmbeddedServer,
) -> None:
    store, sid = await _prepared(own_server.url)
    settings = _settings(own_server.url, stream_send_timeout_s=0.3)
    path = f"/v1/workspaces/acme/sessions/{sid}/turns"
    async with running(settings) as live, live.client() as client:
        turn = (await client.post(path, json={"input": "hi"})).json()["turn"]
        played = await begin_turn(store, "acme", sid)
        events_path = f"/v1/workspaces/acme/turns/{turn}/events"
        reader, writer = await raw_stream(live, events_path)
        chunk = "x" * 20_000
        channel = played.lease.session.events
        async with events(client, events_path) as healthy:
            for number in range(300):
                await played.say(f"{number} {chunk}")
                await take(healthy, 2 if number == 0 else 1)
            await wait_until(
                lambda: live.gateway.hub.listeners(channel) == 1, "the silent client was cut off"
            )
            await played.finish()
            assert (await take(healthy, 99))[-1].event == "turn.succeeded"
        got = await _drain(reader)
        writer.close()
        ids = re.findall(rb"^id: (\S+)\n(?:.*\n)data: .*\}\n\n", got, re.MULTILINE)
        assert 2 <= len(ids) < 300
        rest = await read_all(client, events_path, after=ids[-1].decode())
        first = json.loads(rest[0].data)["seq"]
        assert first == int(ids[-1].split(b"-")[1]) + 1
        assert (rest[-1].event, len(ids) + len(rest)) == ("turn.succeeded", 303)
    await store.aclose()


async def _drain(reader: asyncio.StreamReader) -> bytes:
    """What was still on its way, without the frame of the chunks it came in."""
    parts = []
    try:
        while part := await reader.read(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return re.sub(rb"\r\n[0-9a-f]+\r\n", b"", b"".join(parts))
