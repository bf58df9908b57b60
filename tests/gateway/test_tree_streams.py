"""A session or a turn streamed with all that is below it: two logs, no event lost or doubled."""

import asyncio
import random
from collections import Counter

import httpx
import pytest
from httpx_sse import ServerSentEvent

from bursar.errors import StoreUnavailable
from bursar.events import DELTAS, LoggedEvent, read_log
from bursar.sessions import locate
from bursar.settings import GatewaySettings
from bursar.store.store import Store
from bursar_gateway.below import Below
from bursar_gateway.hub import EventHub, _Topic
from support.gateway import (
    PlayedTurn,
    Running,
    begin_turn,
    events,
    kinds,
    places,
    play_turn,
    read_all,
    running,
    take,
)
from support.offspring import Child, finish_child, spawn, tree_log

_SSE = {"Accept": "text/event-stream"}


async def _put(client: httpx.AsyncClient, base: str) -> str:
    answer = await client.post(f"{base}/turns", json={"input": "hello"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["turn"])


def _turn_events(turn: str) -> str:
    return f"/v1/workspaces/acme/turns/{turn}/events?tree=true"


async def _own_log(store: Store, sid: str) -> list[LoggedEvent]:
    return await read_log(store, locate(store, "acme", sid), after=0, limit=10_000)


async def _lead(client: httpx.AsyncClient, store: Store, sid: str, base: str) -> PlayedTurn:
    """A started turn of the root."""
    await _put(client, base)
    return await begin_turn(store, "acme", sid)


def _parts(sent: list[ServerSentEvent], sid: str) -> tuple[list[bytes], list[bytes]]:
    """The data of the session's own events, and of those below it, in the order of arrival."""
    own: list[bytes] = []
    below: list[bytes] = []
    for event in sent:
        (own if event.json()["session"] == sid else below).append(event.data.encode())
    return own, below


async def _complete(store: Store, sid: str, sent: list[ServerSentEvent]) -> None:
    """Fail unless this is all that both logs hold, each in its order."""
    own, below = _parts(sent, sid)
    assert own == [event.data for event in await _own_log(store, sid)]
    assert below == [event.data for event in await tree_log(store, sid)]


@pytest.fixture
async def story(admin: httpx.AsyncClient, store: Store, sid: str, base: str) -> PlayedTurn:
    """A turn with two children, one with a child of its own; everything has ended."""
    played = await _lead(admin, store, sid, base)
    await played.say("let me ask ")
    first, second = await spawn(store, played, ["a", "b"])
    await finish_child(store, first, "a thinks")
    below = await begin_turn(store, "acme", second.sid)
    (third,) = await spawn(store, below, ["c"])
    await played.say("while they work")
    await finish_child(store, third, "c thinks")
    await below.finish()
    await played.say("so it is")
    await played.finish()
    return played


async def test_a_tree_comes_as_both_logs_hold_it(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, story: PlayedTurn
) -> None:
    sent = await read_all(admin, _turn_events(story.turn))
    created, *turn = await _own_log(store, sid)
    assert created.kind == "session.created"
    own, below = _parts(sent, sid)
    assert own == [event.data for event in turn]
    assert below == [event.data for event in await tree_log(store, sid)]
    assert sent[-1].event == "turn.succeeded"
    assert sent[-1].json()["session"] == sid
    said = {event.json()["session"] for event in sent if event.event in DELTAS}
    assert said == {sid}, "text of a sub-agent comes from its own stream"
    counted = Counter(kinds(sent))
    assert counted["child.spawned"] == counted["child.finished"] == 3
    assert places(sent) == sorted(places(sent))
    assert len(set(places(sent))) == len(sent)


async def test_a_tree_resumes_anywhere_and_nothing_is_lost_or_doubled(
    admin: httpx.AsyncClient, base: str, story: PlayedTurn
) -> None:
    whole = await read_all(admin, _turn_events(story.turn))
    for at, event in enumerate(whole[:-1]):
        rest = await read_all(admin, _turn_events(story.turn), after=event.id)
        assert [each.id for each in rest] == [each.id for each in whole[at + 1 :]], event.id


async def test_a_live_tree_is_complete_over_any_number_of_cuts(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, gateway_settings: GatewaySettings
) -> None:
    """Two gateways by turns, and a client that goes away in the middle, again and again."""
    seen: list[ServerSentEvent] = []
    async with running(gateway_settings) as other, other.client() as client:
        follow = asyncio.create_task(_follow_with_cuts([admin, client], f"{base}/events", seen))
        for name in ("one", "two", "three"):
            played = await _lead(admin, store, sid, base)
            family = await spawn(store, played, [f"{name}{n}" for n in range(4)])

            async def work(child: Child, played: PlayedTurn = played) -> None:
                below = await begin_turn(store, "acme", child.sid)
                await below.say("x")
                (last,) = await spawn(store, below, [child.sid.partition("~")[2] + "x"])
                await finish_child(store, last, "y")
                await below.finish()
                await played.say(f"{child.sid} is done")

            await asyncio.gather(*map(work, family))
            await played.finish()
        await admin.post(f"{base}/end")
        await asyncio.wait_for(follow, 20)
    await _complete(store, sid, seen)
    assert seen[-1].event == "session.ended"


async def _follow_with_cuts(
    clients: list[httpx.AsyncClient], path: str, seen: list[ServerSentEvent]
) -> None:
    chance = random.Random(7)
    while not (seen and seen[-1].event == "session.ended" and "~" not in seen[-1].data):
        client, after = chance.choice(clients), seen[-1].id if seen else ""
        async with events(client, f"{path}?tree=true", after=after) as source:
            seen += await take(source, chance.randint(1, 9))


async def test_a_tree_without_children_is_waited_for(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    async with events(admin, f"{base}/events?tree=true") as source:
        assert kinds(await take(source, 1)) == ["session.created"]
        child = await admin.post(
            "/v1/workspaces/acme/sessions", json={"agent": "echo", "parent": sid, "id": "kid"}
        )
        (created,) = await take(source, 1)
        assert created.json()["session"] == child.json()["id"] == f"{sid}~kid"
        assert places([created]) == [(1, 1)]
        await admin.post(f"{base}/end?force=true")
        assert kinds(await take(source, 9))[-1] == "session.ended"


async def test_the_end_comes_when_all_below_has_been_sent_though_messages_were_lost(
    admin: httpx.AsyncClient,
    store: Store,
    sid: str,
    base: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last messages of the tree's channel never come; nothing after them shows that."""
    spread = EventHub._spread

    def lossy(self: EventHub, topic: _Topic, event: LoggedEvent) -> None:
        if event.session == sid:
            spread(self, topic, event)

    played = await _lead(admin, store, sid, base)
    async with events(admin, _turn_events(played.turn)) as source:
        await take(source, 2)
        monkeypatch.setattr(EventHub, "_spread", lossy)
        (child,) = await spawn(store, played, ["a"])
        await finish_child(store, child)
        await played.finish()
        sent = await take(source, 99)
    own, below = _parts(sent, sid)
    assert below == [event.data for event in await tree_log(store, sid)]
    assert len(own) == 3
    assert sent[-1].event == "turn.succeeded"


async def test_children_end_before_the_turn_that_waited_for_them(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    async with events(
        admin, f"{base}/turns?tree=true", method="POST", json={"input": "hi"}, headers=_SSE
    ) as source:
        await take(source, 1)
        played = await begin_turn(store, "acme", sid)
        family = await spawn(store, played, [f"k{number}" for number in range(8)])
        await asyncio.gather(*(finish_child(store, child, "x") for child in family))
        await played.finish()
        sent = await take(source, 999)
    told = [(event.json()["session"], event.event) for event in sent]
    assert told[-1] == (sid, "turn.succeeded")
    assert Counter(kind for who, kind in told if who != sid)["turn.succeeded"] == 8
    for child in family:
        spawned = next(i for i, e in enumerate(sent) if e.json().get("child") == child.sid)
        assert told.index((child.sid, "session.created")) < spawned


async def test_a_turn_shows_what_it_spawned_and_nothing_of_another_turn(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    turns = []
    for name in ("a", "b"):
        played = await _lead(admin, store, sid, base)
        (child,) = await spawn(store, played, [name])
        await spawn(store, played, [f"{name}detached"], detached=True)
        below = await begin_turn(store, "acme", child.sid)
        (last,) = await spawn(store, below, [f"{name}x"])
        await spawn(store, below, [f"{name}left"], detached=True)
        await finish_child(store, last)
        await below.finish()
        await played.finish()
        turns.append(played.turn)
    for turn, name in zip(turns, ("a", "b"), strict=True):
        sent = await read_all(admin, _turn_events(turn))
        who = {event.json()["session"] for event in sent}
        assert who == {sid, f"{sid}~{name}", f"{sid}~{name}x"}
        same = await read_all(admin, f"{base}/events?turn={turn}&tree=true")
        assert [event.id for event in same] == [event.id for event in sent]


async def test_a_session_below_a_root_is_streamed_with_what_is_below_it(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, story: PlayedTurn
) -> None:
    sent = await read_all(admin, f"{base}~b/events?tree=true")
    assert {event.json()["session"] for event in sent} == {f"{sid}~b", f"{sid}~c"}
    own, below = _parts(sent, f"{sid}~b")
    assert own == [event.data for event in await _own_log(store, f"{sid}~b")]
    of_c = [event for event in await tree_log(store, sid) if event.session == f"{sid}~c"]
    assert below == [event.data for event in of_c]


async def test_a_posted_turn_begins_with_its_own_events(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, story: PlayedTurn
) -> None:
    headers, body = {**_SSE, "Idempotency-Key": "once"}, {"input": "again"}
    path = f"{base}/turns?tree=true"
    async with events(admin, path, method="POST", json=body, headers=headers) as source:
        first = await take(source, 1)
        played = await begin_turn(store, "acme", sid)
        (child,) = await spawn(store, played, ["late"])
        await finish_child(store, child)
        await played.finish()
        sent = first + await take(source, 99)
    assert {event.json()["session"] for event in sent} == {sid, child.sid}
    again = await read_all(admin, path, method="POST", json=body, headers=headers)
    assert _parts(again, sid) == _parts(sent, sid)
    assert again[0].id == sent[0].id


async def test_a_cursor_of_one_log_is_refused(admin: httpx.AsyncClient, base: str) -> None:
    for path, cursor in ((f"{base}/events?tree=true", "1-1"), (f"{base}/events", "1-1.1")):
        answer = await admin.get(path, headers={"Last-Event-ID": cursor})
        assert (answer.status_code, answer.json()["field"]) == (422, "Last-Event-ID")


async def test_a_trimmed_tree_is_a_gap_and_an_expired_one_too(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, story: PlayedTurn
) -> None:
    whole = await read_all(admin, _turn_events(story.turn))
    log = locate(store, "acme", sid).tree_log
    await store.redis.call("XTRIM", log, "MAXLEN", 3)
    held = len(await tree_log(store, sid))
    assert held == 3
    sent = await read_all(admin, _turn_events(story.turn), after=whole[0].id)
    gap = next(event for event in sent if event.event == "gap").json()
    newest = places(whole)[-1][1]
    assert (gap["log"], gap["first_seq"], gap["last_seq"]) == ("tree", 1, newest - 3)
    assert gap["snapshot_url"] == f"{base}/tree"
    assert len(_parts(sent, sid)[1]) == 3
    await store.redis.call("DEL", log)
    sent = await read_all(admin, _turn_events(story.turn), after=whole[0].id)
    assert kinds(sent).count("gap") == 1
    assert {event.json()["session"] for event in sent} == {sid}
    assert sent[-1].id == whole[-1].id


@pytest.mark.parametrize(
    ("shift", "own", "below", "reason"),
    [(-1, 0, 0, "generation"), (0, 99, 0, "ahead"), (0, 0, 99, "ahead")],
)
async def test_a_cursor_of_other_events_starts_anew(
    admin: httpx.AsyncClient,
    store: Store,
    story: PlayedTurn,
    shift: int,
    own: int,
    below: int,
    reason: str,
) -> None:
    whole = await read_all(admin, _turn_events(story.turn))
    cursor = f"{store.generation + shift}-{1 + own}.{1 + below}"
    sent = await read_all(admin, _turn_events(story.turn), after=cursor)
    assert (sent[0].event, sent[0].json()["reason"]) == ("reset", reason)
    assert [event.id for event in sent[1:]] == [event.id for event in whole]


async def test_the_end_is_derived_when_both_logs_are_gone(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, story: PlayedTurn
) -> None:
    keys = locate(store, "acme", sid)
    await store.redis.call("DEL", keys.events, keys.tree_log)
    assert kinds(await read_all(admin, _turn_events(story.turn))) == [
        "gap",
        "gap",
        "turn.succeeded",
    ]


async def test_a_killed_subscriber_connection_loses_nothing(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, live: Running
) -> None:
    played = await _lead(admin, store, sid, base)
    async with events(admin, f"{base}/events?tree=true") as source:
        sent = await take(source, 3)
        for number in range(6):
            (child,) = await spawn(store, played, [f"k{number}"])
            await store.redis.call("CLIENT", "KILL", "TYPE", "pubsub")
            await finish_child(store, child, "x")
            await played.say("so far")
        await played.finish()
        await admin.post(f"{base}/end")
        sent += await take(source, 999)
    await _complete(store, sid, sent)


async def test_a_burst_of_a_tree_arrives_complete(
    store: Store, sid: str, base: str, gateway_settings: GatewaySettings
) -> None:
    """More at once than a client's queue holds, on both logs."""
    small = gateway_settings.model_copy(update={"stream_queue_events": 8})
    async with running(small) as live, live.client() as client:
        played = await _lead(client, store, sid, base)
        async with events(client, f"{base}/events?tree=true") as source:
            sent = await take(source, 3)
            for number in range(12):
                await spawn(store, played, [f"k{number}x{each}" for each in range(10)])
                await played.say(*map(str, range(40)))
            count = len(await tree_log(store, sid)) + len(await _own_log(store, sid))
            sent += await take(source, count - 3)
    await _complete(store, sid, sent)
    assert count > 12 * (2 * 10 + 10 + 40)


async def test_an_outage_while_sessions_are_looked_up_is_sat_out(
    admin: httpx.AsyncClient,
    store: Store,
    sid: str,
    base: str,
    monkeypatch: pytest.MonkeyPatch,
    story: PlayedTurn,
) -> None:
    learn, failures = Below.learn, iter([True, True])

    async def flaky(self: Below, store: Store, sids: set[str]) -> None:
        if next(failures, False):
            raise StoreUnavailable("away")
        await learn(self, store, sids)

    whole = await read_all(admin, _turn_events(story.turn))
    monkeypatch.setattr(Below, "learn", flaky)
    monkeypatch.setattr("bursar_gateway.stream._OUTAGE_WAIT_S", 0.01)
    sent = await read_all(admin, _turn_events(story.turn))
    assert [event.id for event in sent] == [event.id for event in whole]


async def test_a_deleted_tree_ends_its_stream(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    await _put(admin, base)
    await play_turn(store, "acme", sid)
    async with events(admin, f"{base}/events?tree=true") as source:
        await take(source, 4)
        assert (await admin.delete(base)).status_code == 204
        (last,) = await take(source, 9)
    assert (last.event, last.json()["deleted"]) == ("session.ended", True)
