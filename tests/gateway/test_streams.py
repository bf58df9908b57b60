"""Server-sent events: order, resumption, notices, ends. The worker's part is played."""

import asyncio

import httpx
import pytest

from bursar.sessions import locate
from bursar.settings import GatewaySettings
from bursar.store.store import Store
from support.gateway import (
    Running,
    begin_turn,
    events,
    kinds,
    play_turn,
    read_all,
    running,
    seqs,
    take,
    wait_until,
)

_SSE = {"Accept": "text/event-stream"}


async def _put(client: httpx.AsyncClient, base: str, text: str = "hello") -> str:
    answer = await client.post(f"{base}/turns", json={"input": text})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["turn"])


def _turn_events(turn: str) -> str:
    return f"/v1/workspaces/acme/turns/{turn}/events"


async def test_a_posted_turn_streams_from_queued_to_its_end(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    async with events(
        admin, f"{base}/turns", method="POST", json={"input": "hi"}, headers=_SSE
    ) as source:
        first = await take(source, 1)
        turn = await play_turn(store, "acme", sid, "a", "b")
        sent = first + await take(source, 99)
    assert kinds(sent) == [
        "turn.queued",
        "turn.started",
        "text.delta",
        "text.delta",
        "turn.succeeded",
    ]
    assert {event.json()["turn"] for event in sent} == {turn}
    assert [event.json()["text"] for event in sent[2:4]] == ["a", "b"]


async def test_a_posted_turn_that_is_refused_answers_a_problem(
    admin: httpx.AsyncClient, base: str, live: Running
) -> None:
    answer = await admin.post(f"{base}/turns", json={"input": " "}, headers=_SSE)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert not live.gateway.hub.channels


async def test_a_repeated_post_streams_the_first_turn_again(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    headers = {**_SSE, "Idempotency-Key": "once"}
    body = {"input": "hi"}
    async with events(admin, f"{base}/turns", method="POST", json=body, headers=headers) as source:
        await take(source, 1)
        turn = await play_turn(store, "acme", sid, "a")
        first = await take(source, 99)
    again = await read_all(admin, f"{base}/turns", method="POST", json=body, headers=headers)
    assert kinds(again) == ["turn.queued", *kinds(first)]
    assert {event.json()["turn"] for event in again} == {turn}


async def test_turn_events_can_be_read_after_the_turn_ended(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    await _put(admin, base, "one")
    await play_turn(store, "acme", sid, "x")
    second = await _put(admin, base, "two")
    await play_turn(store, "acme", sid, "y")
    sent = await read_all(admin, _turn_events(second))
    assert kinds(sent) == ["turn.queued", "turn.started", "text.delta", "turn.succeeded"]
    assert {event.json()["turn"] for event in sent} == {second}
    same = await read_all(admin, f"{base}/events?turn={second}")
    assert [event.id for event in same] == [event.id for event in sent]


async def test_a_session_stream_ends_when_the_session_ends(
    admin: httpx.AsyncClient, base: str
) -> None:
    async with events(admin, f"{base}/events") as source:
        assert kinds(await take(source, 1)) == ["session.created"]
        await admin.post(f"{base}/end")
        assert kinds(await take(source, 99)) == ["session.ended"]
    assert kinds(await read_all(admin, f"{base}/events")) == ["session.created", "session.ended"]


async def test_a_session_stream_ends_when_the_session_is_deleted(
    admin: httpx.AsyncClient, base: str
) -> None:
    async with events(admin, f"{base}/events") as source:
        await take(source, 1)
        assert (await admin.delete(base)).status_code == 204
        (last,) = await take(source, 99)
    assert (last.event, last.json()["deleted"]) == ("session.ended", True)


async def test_resuming_gives_each_event_once_and_in_order(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    turn = await _put(admin, base)
    played = await begin_turn(store, "acme", sid)
    texts = [f"t{number}" for number in range(200)]
    seen: list[str] = []
    cursor, at = "", 0
    while at < len(texts):
        await played.say(*texts[at : at + 20])
        at += 20
        async with events(admin, _turn_events(turn), after=cursor) as source:
            for event in await take(source, 13):
                cursor = event.id
                seen += [event.json()["text"]] if event.event == "text.delta" else []
    await played.finish()
    rest = await read_all(admin, _turn_events(turn), after=cursor)
    seen += [event.json()["text"] for event in rest if event.event == "text.delta"]
    assert seen == texts
    assert rest[-1].event == "turn.succeeded"


async def test_the_cursor_may_stand_in_the_query(admin: httpx.AsyncClient, base: str) -> None:
    (created,) = await _first(admin, f"{base}/events", 1)
    await admin.post(f"{base}/end")
    assert kinds(await read_all(admin, f"{base}/events?after={created.id}")) == ["session.ended"]


async def _first(client: httpx.AsyncClient, path: str, count: int, after: str = "") -> list:  # type: ignore[type-arg]
    async with events(client, path, after=after) as source:
        return await take(source, count)


async def test_a_cursor_that_is_none_is_refused(admin: httpx.AsyncClient, base: str) -> None:
    for cursor in ("x", "1", "1-", "-1", "1-x", "9" * 50 + "-1"):
        answer = await admin.get(f"{base}/events", headers={"Last-Event-ID": cursor})
        assert (answer.status_code, answer.json()["field"]) == (422, "Last-Event-ID")


async def test_a_cursor_behind_the_trimmed_log_gets_a_gap_and_goes_on(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    turn = await _put(admin, base)
    await play_turn(store, "acme", sid, *"abcdefgh")
    whole = await read_all(admin, _turn_events(turn))
    await store.redis.call("XTRIM", locate(store, "acme", sid).events, "MAXLEN", 3)
    sent = await read_all(admin, _turn_events(turn), after=whole[1].id)
    assert kinds(sent) == ["gap", "text.delta", "text.delta", "turn.succeeded"]
    gap = sent[0].json()
    assert gap["snapshot_url"] == f"/v1/workspaces/acme/turns/{turn}"
    assert (gap["first_seq"], gap["last_seq"]) == (seqs(whole)[2], seqs(whole)[-4])
    assert [event.id for event in sent[1:]] == [event.id for event in whole[-3:]]


async def test_a_gap_before_the_turn_is_not_told_to_its_stream(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    await _put(admin, base, "one")
    await play_turn(store, "acme", sid, "x")
    second = await _put(admin, base, "two")
    await play_turn(store, "acme", sid, "y")
    log = locate(store, "acme", sid).events
    await store.redis.call("XTRIM", log, "MAXLEN", 4)
    assert kinds(await read_all(admin, _turn_events(second)))[0] == "turn.queued"
    await store.redis.call("XTRIM", log, "MAXLEN", 2)
    assert kinds(await read_all(admin, _turn_events(second))) == [
        "gap",
        "text.delta",
        "turn.succeeded",
    ]


@pytest.mark.parametrize(("shift", "ahead", "reason"), [(-1, 0, "generation"), (0, 99, "ahead")])
async def test_a_cursor_of_other_events_gets_a_reset_and_starts_anew(
    admin: httpx.AsyncClient, store: Store, base: str, shift: int, ahead: int, reason: str
) -> None:
    await admin.post(f"{base}/end")
    cursor = f"{store.generation + shift}-{1 + ahead}"
    sent = await read_all(admin, f"{base}/events", after=cursor)
    assert kinds(sent) == ["reset", "session.created", "session.ended"]
    assert (sent[0].json()["reason"], sent[0].json()["snapshot_url"]) == (reason, base)


async def test_the_end_is_derived_from_state_when_the_log_expired(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    turn = await _put(admin, base)
    await play_turn(store, "acme", sid, "x")
    whole = await read_all(admin, _turn_events(turn))
    await store.redis.call("DEL", locate(store, "acme", sid).events)
    assert kinds(await read_all(admin, _turn_events(turn))) == ["gap", "turn.succeeded"]
    assert kinds(await read_all(admin, _turn_events(turn), after=whole[0].id)) == [
        "gap",
        "turn.succeeded",
    ]
    (last,) = await read_all(admin, _turn_events(turn), after=whole[-1].id)
    assert (last.event, last.id) == ("turn.succeeded", whole[-1].id)


async def test_a_turn_stream_outlives_its_session(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    turn = await _put(admin, base)
    await play_turn(store, "acme", sid)
    whole = await read_all(admin, _turn_events(turn))
    assert (await admin.delete(base)).status_code == 204
    assert kinds(await read_all(admin, _turn_events(turn)))[-1] == "turn.succeeded"
    assert (
        kinds(await read_all(admin, _turn_events(turn), after=whole[0].id))[-1] == "turn.succeeded"
    )


async def test_a_client_that_goes_away_cancels_nothing(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, live: Running
) -> None:
    async with events(
        admin, f"{base}/turns", method="POST", json={"input": "hi"}, headers=_SSE
    ) as source:
        (queued,) = await take(source, 1)
    await wait_until(lambda: not live.gateway.hub.channels, "the stream let go of its channel")
    turn = await play_turn(store, "acme", sid)
    assert turn == queued.json()["turn"]
    state = (await admin.get(f"/v1/workspaces/acme/turns/{turn}")).json()["state"]
    assert state == "succeeded"


async def test_a_silent_stream_is_pinged(
    store: Store, gateway_settings: GatewaySettings, registry: object
) -> None:
    quick = gateway_settings.model_copy(update={"ping_every_s": 0.05})
    async with running(quick) as live, live.client() as client:
        await client.post("/v1/workspaces", json={"id": "acme"})
        session = await client.post("/v1/workspaces/acme/sessions", json={"agent": "echo"})
        path = f"/v1/workspaces/acme/sessions/{session.json()['id']}/events"
        async with client.stream("GET", path) as answer, asyncio.timeout(10):
            lines = answer.aiter_lines()
            assert await anext(lines) == "retry: 1000"
            pings = 0
            while pings < 3:
                pings += await anext(lines) == ": ping"


async def test_stopping_ends_streams_cleanly_and_they_resume_elsewhere(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, gateway_settings: GatewaySettings
) -> None:
    turn = await _put(admin, base)
    async with (
        running(gateway_settings) as other,
        other.client() as client,
        events(client, _turn_events(turn)) as source,
    ):
        (queued,) = await take(source, 1)
        other.gateway.hub.close()
        assert await take(source, 99) == []
    await play_turn(store, "acme", sid)
    rest = await read_all(admin, _turn_events(turn), after=queued.id)
    assert kinds(rest) == ["turn.started", "turn.succeeded"]


async def test_events_of_a_burst_arrive_complete(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    """More at once than a client's queue holds: what does not fit is read from the log."""
    turn = await _put(admin, base)
    played = await begin_turn(store, "acme", sid)
    texts = [f"{number}" for number in range(3000)]
    async with events(admin, _turn_events(turn)) as source:
        await take(source, 2)
        for at in range(0, len(texts), 500):
            await played.say(*texts[at : at + 500])
        await played.finish()
        sent = await take(source, 5000)
    assert [event.json()["text"] for event in sent[:-1]] == texts


async def test_many_streams_of_one_session_share_a_channel(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, live: Running
) -> None:
    turn = await _put(admin, base)

    async def follow() -> list[str]:
        return [event.id for event in await read_all(admin, _turn_events(turn))]

    streams = [asyncio.create_task(follow()) for _ in range(20)]
    channel = locate(store, "acme", sid).events
    await wait_until(lambda: live.gateway.hub.listeners(channel) == 20, "20 streams are open")
    assert await store.redis.call("PUBSUB", "NUMSUB", channel) == [channel.encode(), 1]
    await play_turn(store, "acme", sid, *"abc")
    results = await asyncio.gather(*streams)
    assert len(results[0]) == 6
    assert all(result == results[0] for result in results)
