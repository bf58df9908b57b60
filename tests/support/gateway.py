"""A gateway on a real socket inside the test's loop, and a player of the worker's part."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from bursar.events import Span
from bursar.ids import new_secret
from bursar.leases import Claimed, InboxItem, Lease
from bursar.messages import AssistantMessage
from bursar.sessions import locate
from bursar.settings import GatewaySettings
from bursar.store.codec import decode_message, text
from bursar.store.scripts import leases, turns
from bursar.store.scripts.above import Above
from bursar.store.scripts.sessions import index_keys
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store
from bursar_gateway.app import build
from bursar_gateway.gateway import Gateway, open_gateway
from bursar_gateway.server import listen, make_server
from support.stage import claimant

ADMIN = "root-of-the-tests"


@dataclass
class Running:
    gateway: Gateway
    url: str

    def client(self, token: str = ADMIN) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=20)


@contextlib.asynccontextmanager
async def running(settings: GatewaySettings) -> AsyncIterator[Running]:
    listener = listen("127.0.0.1", 0)
    gateway = await open_gateway(settings)
    ready = asyncio.Event()
    server = make_server(build(gateway), stop_within_s=5, on_started=ready.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.wait_for(ready.wait(), 5)
        yield Running(gateway, f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        gateway.hub.close()
        server.should_exit = True
        await serving
        await gateway.aclose()


async def wait_until(
    happened: Callable[[], Awaitable[bool] | bool], what: str, *, timeout_s: float = 10
) -> None:
    """Poll until something is so; the failure says what did not happen."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        result = happened()
        if result if isinstance(result, bool) else await result:
            return
        assert asyncio.get_running_loop().time() < deadline, f"did not happen: {what}"
        await asyncio.sleep(0.01)


class PlayedTurn:
    """One turn under a lease, moved by the test."""

    def __init__(self, store: Store, lease: Lease, turn: str) -> None:
        self._store = store
        self.lease = lease
        self.turn = turn
        self._span = Span(lease.session.id, turn, 1, 1)

    async def say(self, *texts: str) -> int:
        events = [self._span.event("text.delta", text=text) for text in texts]
        return await turns.append_events(self._store, self.lease, events)

    async def inbox(self) -> list[InboxItem]:
        """What lies in the session's inbox for its driver."""
        _, items = await leases.take_inbox(self._store, self.lease, [])
        return items

    async def take_in(self) -> None:
        """Commit the inputs that joined the turn, as its next step does."""
        items = [item for item in await self.inbox() if item.kind == "inject"]
        key = self.lease.session.workspace.turn(self.turn)
        payloads = [
            await self._store.redis.call("HGET", key, f"injected:{item.seq}") for item in items
        ]
        commit = Commit(items=items, messages=[decode_message(payload) for payload in payloads])
        event = self._span.event("message.committed", role="user", count=len(items))
        await turns.commit_step(self._store, self.lease, self.turn, commit, [event])

    async def finish(self, said: str = "done", outcome: str = "succeeded") -> None:
        """End the turn, with all that the inbox holds about it."""
        session = self.lease.session
        names = ("parent", "parent_turn", "join")
        above = await self._store.redis.call("HMGET", session.hash, *names)
        mine = [item for item in await self.inbox() if item.target == self.turn]
        await turns.finish(
            self._store,
            self.lease,
            self.turn,
            outcome=outcome,
            code="" if outcome == "succeeded" else "told_to",
            reason="",
            index_keys=index_keys(session, "ann", ""),
            commit=Commit(items=mine, messages=[AssistantMessage(said, turn=self.turn)], steps=1),
            events=[self._span.event(f"turn.{outcome}")],
            ended_event=Span(session.id).event("session.ended").body,
            ended_audit=b"{}",
            above=Above.of(*map(text, above)),
        )


async def begin_turn(store: Store, workspace: str, sid: str) -> PlayedTurn:
    """Claim the session and start the turn at the head of its inbox."""
    session = locate(store, workspace, sid)
    claimed = await leases.claim(store, session, claimant("w1", 30_000), owner=new_secret())
    assert isinstance(claimed, Claimed), claimed
    item = claimed.inbox[0]
    started = Span(sid, item.target).event("turn.started")
    assert await turns.start(store, claimed.lease, item, [started])
    return PlayedTurn(store, claimed.lease, item.target)


async def play_turn(store: Store, workspace: str, sid: str, *texts: str) -> str:
    """A whole turn: claim, start, say, succeed. Returns the turn's id."""
    played = await begin_turn(store, workspace, sid)
    if texts:
        await played.say(*texts)
    await played.finish()
    return played.turn


@contextlib.asynccontextmanager
async def events(
    client: httpx.AsyncClient, path: str, *, after: str = "", method: str = "GET", **more: Any
) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
    """Open a stream and yield its events. pings and the ``retry`` line do not show here."""
    headers = {"Last-Event-ID": after, **more.pop("headers", {})}
    if not after:
        del headers["Last-Event-ID"]
    async with aconnect_sse(client, method, path, headers=headers, **more) as source:
        assert source.response.status_code == 200, await source.response.aread()
        yield _named(source.aiter_sse())


async def _named(sent: AsyncIterator[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
    async for event in sent:
        if event.data:
            yield event


async def raw_stream(live: Running, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client with small buffers, which stops reading after the head of the answer."""
    host, port = live.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    writer.write(request.encode())
    await reader.readuntil(b"retry: 1000\n\n")
    return reader, writer


async def take(source: AsyncIterator[ServerSentEvent], count: int) -> list[ServerSentEvent]:
    """The next events; fewer if the stream ends before."""
    taken: list[ServerSentEvent] = []
    async with asyncio.timeout(10):
        while len(taken) < count:
            try:
                taken.append(await anext(source))
            except StopAsyncIteration:
                break
    return taken


async def read_all(
    client: httpx.AsyncClient, path: str, *, after: str = "", **more: Any
) -> list[ServerSentEvent]:
    """Everything to the end of the stream."""
    async with events(client, path, after=after, **more) as source:
        return await take(source, 1_000_000)


def kinds(sent: list[ServerSentEvent]) -> list[str]:
    return [event.event for event in sent]


def seqs(sent: list[ServerSentEvent]) -> list[int]:
    return [int(event.id.split("-")[1]) for event in sent]


def places(sent: list[ServerSentEvent]) -> list[tuple[int, int]]:
    """Of events of a stream with a tree: how far each of both logs was."""
    pairs = [event.id.split("-")[1].split(".") for event in sent]
    return [(int(own), int(tree)) for own, tree in pairs]
