"""What a gateway lets in: inputs while the installation keeps up, streams while there is room."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from bursar.registry import Registry
from bursar.settings import GatewaySettings
from bursar.store.store import Store
from bursar_gateway.admission import Admission
from support.gateway import (
    Running,
    begin_turn,
    events,
    kinds,
    play_turn,
    raw_stream,
    running,
    take,
    wait_until,
)

_SSE = {"Accept": "text/event-stream"}

Open = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def opened(store: Store, registry: Registry, gateway_settings: GatewaySettings) -> Open:
    """Makes a gateway with other settings, and workspace ``acme`` with its session ``s``."""

    @asynccontextmanager
    async def build(**changed: Any) -> AsyncIterator[Running]:
        async with running(gateway_settings.model_copy(update=changed)) as live:
            async with live.client() as client:
                await client.post("/v1/workspaces", json={"id": "acme"})
                body = {"agent": "echo", "user": "ann", "id": "s"}
                await client.post("/v1/workspaces/acme/sessions", json=body)
            yield live

    return build


BASE = "/v1/workspaces/acme/sessions/s"


def _refused(answer: httpx.Response, code: str) -> str:
    """The detail of a refusal that says when to come again."""
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (429, code), answer.text
    assert answer.headers["retry-after"] == str(problem["retry_after_s"]) == "5"
    return str(problem["detail"])


async def _queued(client: httpx.AsyncClient) -> int:
    return int((await client.get("/v1/workspaces/acme/stats")).json().get("turns:queued", 0))


async def _empty(live: Running) -> None:
    """Wait until every slot was given back."""
    await wait_until(lambda: live.gateway.admission.streams == 0, "all slots were given back")
    assert not live.gateway.hub.channels


# -- inputs


async def test_an_overloaded_installation_takes_no_input_of_any_workspace(
    opened: Open, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursar_gateway.admission._COUNT_EVERY_S", -1)
    async with opened(max_queued_total=2) as live, live.client() as client:
        await client.post("/v1/workspaces", json={"id": "other"})
        await client.post("/v1/workspaces/other/sessions", json={"agent": "echo", "id": "o"})
        elsewhere = "/v1/workspaces/other/sessions/o"
        for path in (BASE, elsewhere):
            assert (await client.post(f"{path}/turns", json={"input": "x"})).status_code == 202
        for path in (BASE, elsewhere):
            for headers in ({}, _SSE):
                answer = await client.post(f"{path}/turns", json={"input": "x"}, headers=headers)
                assert "cap of 2 queued turns" in _refused(answer, "overloaded")
        assert await _queued(client) == 1
        await begin_turn(store, "acme", "s")
        assert (await client.post(f"{elsewhere}/turns", json={"input": "x"})).status_code == 202


async def test_the_queue_is_counted_once_a_second_and_not_for_each_input(
    store: Store, gateway_settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission = Admission(store, gateway_settings)
    call, asked = store.redis.call, []

    def noted(*command: Any) -> Any:
        asked.append(command)
        return call(*command)

    monkeypatch.setattr(store.redis, "call", noted)
    await asyncio.gather(*(admission.admit_input() for _ in range(50)))
    assert len(asked) == gateway_settings.shards
    assert {command[0] for command in asked} == {"HGET"}


# -- streams


async def test_a_gateway_has_room_for_so_many_streams(opened: Open) -> None:
    async with opened(max_streams=2) as live, live.client() as client, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(events(client, f"{BASE}/events"))
        for path in (f"{BASE}/events", f"{BASE}/events?after=x"):
            assert "this gateway" in _refused(await client.get(path), "too_many_streams")
        assert live.gateway.admission.streams == 2
        await stack.aclose()
        await _empty(live)
        async with events(client, f"{BASE}/events") as source:
            assert kinds(await take(source, 1)) == ["session.created"]


async def test_one_key_does_not_take_the_room_of_the_others(opened: Open) -> None:
    async with opened(max_streams_a_key=1) as live, live.client() as admin:
        made = await admin.post("/v1/keys", json={"name": "x", "workspaces": ["acme"]})
        async with live.client(made.json()["token"]) as client, AsyncExitStack() as stack:
            for caller in (admin, client):
                await stack.enter_async_context(events(caller, f"{BASE}/events"))
            for caller in (admin, client):
                answer = await caller.get(f"{BASE}/events")
                assert "this key" in _refused(answer, "too_many_streams")
            assert live.gateway.admission.streams == 2
        await _empty(live)


async def test_streams_that_are_opened_at_the_same_time_do_not_exceed_the_cap(
    opened: Open,
) -> None:
    async with opened(max_streams=3) as live, live.client() as client, AsyncExitStack() as stack:
        requests = [client.stream("GET", f"{BASE}/events") for _ in range(10)]
        answers = await asyncio.gather(*map(stack.enter_async_context, requests))
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 7


async def test_a_stream_that_is_refused_has_accepted_no_input(opened: Open, store: Store) -> None:
    async with opened(max_streams=1) as live, live.client() as client:
        async with events(client, f"{BASE}/events"):
            body = {"input": "x"}
            refused = await client.post(f"{BASE}/turns", json=body, headers=_SSE)
            _refused(refused, "too_many_streams")
            assert (await client.get(BASE)).json()["state"] == "idle"
            assert await _queued(client) == 0
            assert (await client.post(f"{BASE}/turns", json=body)).status_code == 202
        await _empty(live)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{BASE}/events?after=x", 422),
        ("GET", "/v1/workspaces/acme/sessions/nobody/events", 404),
        ("POST", "/v1/workspaces/acme/sessions/nobody/turns", 404),
        ("POST", f"{BASE}/turns", 422),
    ],
)
async def test_a_stream_that_could_not_be_opened_takes_no_slot(
    opened: Open, method: str, path: str, status: int
) -> None:
    async with opened(max_streams=1) as live, live.client() as client:
        body = {"input": " "} if status == 422 else {"input": "x"}
        for _ in range(3):
            answer = await client.request(method, path, json=body, headers=_SSE)
            assert answer.status_code == status
        assert live.gateway.admission.streams == 0


async def test_a_slot_is_given_back_when_the_stream_ends(opened: Open, store: Store) -> None:
    async with opened(max_streams=1) as live, live.client() as client:
        for _ in range(3):
            body = {"input": "x"}
            async with events(
                client, f"{BASE}/turns", method="POST", json=body, headers=_SSE
            ) as source:
                await take(source, 1)
                assert live.gateway.admission.streams == 1
                await play_turn(store, "acme", "s")
                assert kinds(await take(source, 99))[-1] == "turn.succeeded"
            await _empty(live)


async def test_a_slot_is_given_back_when_the_client_goes_away(opened: Open) -> None:
    async with opened(max_streams=1) as live, live.client() as client:
        for method, path, body in (
            ("GET", f"{BASE}/events", None),
            ("POST", f"{BASE}/turns", {"input": "x"}),
        ):
            async with events(client, path, method=method, json=body, headers=_SSE) as source:
                await take(source, 1)
                assert live.gateway.admission.streams == 1
            await _empty(live)


async def test_a_slot_is_given_back_when_a_client_that_does_not_read_is_cut_off(
    opened: Open, store: Store
) -> None:
    async with opened(max_streams=1, stream_send_timeout_s=0.2) as live, live.client() as client:
        await client.post(f"{BASE}/turns", json={"input": "x"})
        played = await begin_turn(store, "acme", "s")
        _, writer = await raw_stream(live, f"{BASE}/events")
        assert live.gateway.admission.streams == 1
        for _ in range(300):
            await played.say("x" * 100_000)
            if not live.gateway.admission.streams:
                break
        await _empty(live)
        writer.close()


async def test_a_slot_is_given_back_when_the_key_was_revoked(opened: Open, store: Store) -> None:
    async with opened(max_streams=1, ping_every_s=0.05) as live, live.client() as admin:
        made = await admin.post("/v1/keys", json={"name": "x", "workspaces": ["acme"]})
        async with (
            live.client(made.json()["token"]) as client,
            events(client, f"{BASE}/events") as source,
        ):
            await take(source, 1)
            await admin.delete(f"/v1/keys/{made.json()['key']['id']}")
            await take(source, 99)
            await _empty(live)
