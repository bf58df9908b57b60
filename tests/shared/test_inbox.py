"""The way in: recorded first, then somebody is woken."""

import asyncio
import json

import pytest

from bursar import sessions, turns, workspaces
from bursar.errors import BursarError, Conflict, InvalidInput, LimitReached, NotFound
from bursar.events import read_log
from bursar.inbox import Inputs
from bursar.leases import Claimed
from bursar.messages import UserMessage
from bursar.queue import queue_name
from bursar.registry import Registry
from bursar.store.keys import GlobalKeys
from bursar.store.redis import RedisClient
from bursar.store.scripts import leases
from bursar.store.scripts.sessions import Idempotency
from bursar.store.scripts.turns import start
from bursar.store.store import Store
from support.stage import claimant, unchanged

HELLO = UserMessage("hello")


@pytest.fixture
async def sid(store: Store, registry: Registry) -> str:
    await workspaces.create(store, "acme")
    return (await sessions.create(store, registry, "acme", sessions.SessionSpec("echo"))).id


async def claim(store: Store, sid: str) -> Claimed:
    session = sessions.locate(store, "acme", sid)
    claimed = await leases.claim(store, session, claimant("w1", 60_000), owner="o")
    assert isinstance(claimed, Claimed)
    return claimed


async def bells(queue: RedisClient) -> list[bytes]:
    members: list[bytes] = await queue.call("ZRANGE", queue_name("default"), 0, -1)
    return members


async def test_an_accepted_input_is_queued_and_rung_for(
    store: Store, inputs: Inputs, queue: RedisClient, sid: str
) -> None:
    await queue.call("FLUSHDB")
    accepted = await inputs.put("acme", sid, HELLO)
    turn = await turns.get(store, "acme", accepted.turn)
    assert (turn.state, turn.session) == ("queued", sid)
    assert await bells(queue) == [f"wake:acme/{sid}:1:0:{accepted.turn}".encode()]


async def test_an_input_for_a_driven_session_pokes_its_worker(
    store: Store, inputs: Inputs, queue: RedisClient, sid: str
) -> None:
    await inputs.put("acme", sid, HELLO)
    await claim(store, sid)
    await queue.call("FLUSHDB")
    accepted = await inputs.put("acme", sid, HELLO)
    assert (accepted.outcome, accepted.worker) == ("held", "w1")
    control = GlobalKeys.control("w1")
    assert await store.redis.call("LRANGE", control, 0, -1) == [f"acme/{sid}".encode()]
    assert await store.redis.call("PTTL", control) > 0
    assert await bells(queue) == []


@pytest.mark.parametrize("words", ["", "  ", "\n\t"])
async def test_an_empty_input_is_refused(
    store: Store, inputs: Inputs, sid: str, words: str
) -> None:
    async with unchanged(store):
        with pytest.raises(InvalidInput) as caught:
            await inputs.put("acme", sid, UserMessage(words))
    assert caught.value.field == "input"


async def test_an_input_has_a_largest_size_in_bytes(store: Store, inputs: Inputs, sid: str) -> None:
    async with unchanged(store):
        with pytest.raises(InvalidInput) as caught:
            await inputs.put("acme", sid, UserMessage("é" * (512 * 1024)))
    assert caught.value.code == "input_too_large"
    await inputs.put("acme", sid, UserMessage("x" * (1024 * 1024 - 200)))


async def test_the_same_key_gives_the_same_turn_and_another_body_a_conflict(
    inputs: Inputs, sid: str
) -> None:
    key = Idempotency("turns", "k", "f")
    first = await inputs.put("acme", sid, HELLO, key)
    many = await asyncio.gather(*(inputs.put("acme", sid, HELLO, key) for _ in range(10)))
    assert {one.turn for one in many} == {first.turn}
    with pytest.raises(Conflict) as caught:
        await inputs.put("acme", sid, HELLO, Idempotency("turns", "k", "g"))
    assert caught.value.code == "idempotency_conflict"


async def test_an_agent_without_a_live_worker_lets_the_turn_wait(
    store: Store, inputs: Inputs, queue: RedisClient, sid: str
) -> None:
    entry = json.loads(await store.redis.call("HGET", GlobalKeys.agents, "echo"))
    entry["seen_ms"] -= 60_000
    await store.redis.call("HSET", GlobalKeys.agents, "echo", json.dumps(entry))
    await queue.call("FLUSHDB")
    accepted = await inputs.put("acme", sid, HELLO)
    assert accepted.outcome == "blocked"
    session = sessions.locate(store, "acme", sid)
    last = (await read_log(store, session, after=0))[-1]
    assert (last.kind, last.decode()["reason"]) == ("turn.waiting", "no_worker")
    assert (await sessions.get(store, "acme", sid)).blocked == "agent"
    assert await bells(queue) == []


async def test_cached_facts_that_no_longer_hold_are_read_again(
    store: Store, registry: Registry, inputs: Inputs
) -> None:
    await workspaces.create(store, "acme")
    await sessions.create(store, registry, "acme", sessions.SessionSpec("echo", id="s", user="ann"))
    await inputs.put("acme", "s", HELLO)
    await inputs.end("acme", "s", force=True)
    await sessions.delete(store, "acme", "s")
    await sessions.create(store, registry, "acme", sessions.SessionSpec("echo", id="s", user="bob"))
    assert (await inputs.put("acme", "s", HELLO)).outcome == "ring"


async def test_a_full_inbox_is_a_limit(store: Store, inputs: Inputs, sid: str) -> None:
    store.settings.max_inbox = 2
    await inputs.put("acme", sid, HELLO)
    await inputs.put("acme", sid, HELLO)
    with pytest.raises(LimitReached):
        await inputs.put("acme", sid, HELLO)


async def test_unknown_sessions_and_turns_are_not_found(inputs: Inputs, sid: str) -> None:
    for work, code in (
        (inputs.put("acme", "nobody", HELLO), "session_not_found"),
        (inputs.end("acme", "nobody"), "session_not_found"),
        (inputs.cancel("acme", "trn_nobody"), "turn_not_found"),
    ):
        with pytest.raises(NotFound) as caught:
            await work
        assert caught.value.code == code


async def test_a_cancel_ends_a_queued_turn_and_asks_for_a_running_one(
    store: Store, inputs: Inputs, sid: str
) -> None:
    queued = await inputs.put("acme", sid, HELLO)
    assert (await inputs.cancel("acme", queued.turn)).state == "cancelled"
    assert (await inputs.cancel("acme", queued.turn)).state == "cancelled"
    held = await inputs.put("acme", sid, HELLO)
    claimed = await claim(store, sid)
    await start(store, claimed.lease, claimed.inbox[0], [])
    assert (await inputs.cancel("acme", held.turn)).state == "running"
    assert await store.redis.call("LLEN", GlobalKeys.control("w1")) == 1


async def test_an_idle_session_ends_at_once(inputs: Inputs, sid: str) -> None:
    assert await inputs.end("acme", sid) == "ended"
    assert await inputs.end("acme", sid) == "already"
    with pytest.raises(BursarError) as caught:
        await inputs.put("acme", sid, HELLO)
    assert caught.value.code == "session_ended"


async def test_a_busy_session_ends_after_its_inputs_or_by_force_now(
    store: Store, inputs: Inputs, sid: str
) -> None:
    accepted = [await inputs.put("acme", sid, HELLO) for _ in range(3)]
    assert await inputs.end("acme", sid) == "ending"
    assert await inputs.end("acme", sid, force=True) == "ended"
    states = [(await turns.get(store, "acme", one.turn)).state for one in accepted]
    assert states == ["cancelled"] * 3


async def test_a_forced_end_under_a_lease_completes_when_the_driver_lets_go(
    store: Store, inputs: Inputs, sid: str
) -> None:
    await inputs.put("acme", sid, HELLO)
    claimed = await claim(store, sid)
    assert await inputs.end("acme", sid, force=True) == "ending"
    assert await leases.release(store, claimed.lease) is None
    assert (await sessions.get(store, "acme", sid)).state == "ended"
