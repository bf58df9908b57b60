"""The queue may lose all that it holds: it only says what Redis knows anyway."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from bursar.agents import Agent
from bursar.embedded import EmbeddedServer
from bursar.messages import ToolCall
from bursar.queue import connect_queue
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.redis import RedisClient
from bursar.store.store import Store
from bursar.testing import Answer, Reply, ScriptedModel
from support.held import HeldTool, soon
from support.invariants import check_accounts, check_lifetimes
from support.workers import Site, site, working


def looking(look: HeldTool, answers: int = 1) -> Agent:
    script: list[Answer] = [ToolCall("c1", "look"), *["done"] * answers]
    return Agent(name="worker", model=ScriptedModel(script), tools=[look.tool])


async def test_a_flushed_queue_cancels_no_drive(place: Site, queue: RedisClient) -> None:
    look = HeldTool()
    async with working(place.store, looking(look)):
        session = await place.session("worker")
        tid = await place.put(session)
        await soon(look.begun, "tool")
        await queue.call("FLUSHDB")
        await place.swept()
        look.go.set()
        assert (await place.ended(tid)).state == "succeeded"
    assert await place.fields(session, "epoch") == ["1"]
    assert not look.stopped.is_set()


async def test_turns_whose_bells_were_flushed_all_end(place: Site, queue: RedisClient) -> None:
    """One slot, so that all bells but the first lie in the queue when it is flushed."""
    look = HeldTool()
    async with working(place.store, looking(look, answers=6), slots=1):
        first = await place.put(await place.session("worker"))
        await soon(look.begun, "tool")
        behind = [await place.put(await place.session("worker")) for _ in range(5)]
        await queue.call("FLUSHDB")
        look.go.set()
        for tid in (first, *behind):
            assert (await place.ended(tid)).state == "succeeded"


async def test_turns_accepted_while_the_queue_is_flushed_again_and_again_all_end(
    place: Site, queue: RedisClient
) -> None:
    agent = Agent(name="worker", model=ScriptedModel([Reply(text="done", delay_s=0.05)] * 40))

    async def flush() -> None:
        while True:
            await queue.call("FLUSHDB")
            await asyncio.sleep(0.005)

    async with working(place.store, agent, slots=4):
        flushing = asyncio.create_task(flush())
        accepted = [await place.put(await place.session("worker")) for _ in range(40)]
        flushing.cancel()
        for tid in accepted:
            assert (await place.ended(tid)).state == "succeeded"


@pytest.fixture
def queue_server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as own:
        yield own


@pytest.fixture
async def apart(
    settings: Settings, store: Store, queue_server: EmbeddedServer
) -> AsyncIterator[Store]:
    """An installation whose queue has a server of its own."""
    made = await open_store(settings.model_copy(update={"queue_url": queue_server.url}))
    yield made
    await check_lifetimes(made)
    await check_accounts(made)
    await made.aclose()


async def test_a_queue_server_that_loses_everything_loses_no_turn(
    apart: Store, queue_server: EmbeddedServer
) -> None:
    look = HeldTool()
    url = queue_server.url
    async with (
        site(apart) as place,
        working(apart, looking(look, answers=6), slots=1, queue_url=url),
    ):
        session = await place.session("worker")
        first = await place.put(session)
        await soon(look.begun, "tool")
        behind = [await place.put(await place.session("worker")) for _ in range(5)]
        queue = await connect_queue(apart.settings)
        await queue.call("FLUSHALL")
        await queue.aclose()
        look.go.set()
        for tid in (first, *behind):
            assert (await place.ended(tid)).state == "succeeded"
        assert await place.fields(session, "epoch") == ["1"]


async def test_a_queue_server_that_restarts_empty_loses_no_turn(
    apart: Store, queue_server: EmbeddedServer
) -> None:
    look = HeldTool()
    url = queue_server.url
    async with (
        site(apart) as place,
        working(apart, looking(look, answers=6), slots=1, queue_url=url),
    ):
        session = await place.session("worker")
        first = await place.put(session)
        await soon(look.begun, "tool")
        queue_server.kill()
        behind = [await place.put(await place.session("worker")) for _ in range(5)]
        queue_server.start()
        look.go.set()
        for tid in (first, *behind):
            assert (await place.ended(tid)).state == "succeeded"
        assert await place.fields(session, "epoch") == ["1"]
