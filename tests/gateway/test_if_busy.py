"""What an input does beside a turn that is under way. The worker's part is played."""

from typing import Any

import httpx
import pytest

from bursar.store.store import Store
from support.gateway import Running, begin_turn, events, kinds, read_all, seqs, take

_SSE = {"Accept": "text/event-stream"}
_INJECT = {"input": "and this", "if_busy": "inject"}


async def _put(client: httpx.AsyncClient, base: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"{base}/turns", json={"input": "hi", **body})
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    assert answer.headers["location"] == accepted["status_url"]
    assert accepted["events_url"] == f"{accepted['status_url']}/events"
    assert accepted["status_url"].endswith(accepted["turn"])
    return accepted


async def _queued(client: httpx.AsyncClient) -> int:
    return int((await client.get("/v1/workspaces/acme/stats")).json()["turns:queued"])


async def _said(client: httpx.AsyncClient, base: str) -> list[str]:
    return [message["text"] for message in (await client.get(f"{base}/messages")).json()]


@pytest.mark.parametrize("body", [{}, {"if_busy": "enqueue"}])
async def test_an_input_waits_in_line(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, body: dict[str, str]
) -> None:
    first = await _put(admin, base)
    played = await begin_turn(store, "acme", sid)
    second = await _put(admin, base, **body)
    assert (played.turn, second["joined"]) == (first["turn"], False)
    assert [(item.kind, item.target) for item in await played.inbox()] == [
        ("input", second["turn"])
    ]


async def test_a_rejected_input_leaves_nothing_behind(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str, live: Running
) -> None:
    await _put(admin, base, if_busy="reject")
    for state in ("queued", "running"):
        for headers in ({}, _SSE):
            body = {"input": "no", "if_busy": "reject"}
            refused = await admin.post(f"{base}/turns", json=body, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (409, "session_busy"), state
            assert refused.headers["content-type"] == "application/problem+json"
        if state == "queued":
            played = await begin_turn(store, "acme", sid)
    assert await played.inbox() == []
    assert not live.gateway.hub.channels
    await played.finish()
    assert (await _put(admin, base, if_busy="reject"))["turn"] != played.turn


async def test_an_interrupt_cancels_the_turn_under_way_and_waits_in_line(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    first = await _put(admin, base)
    played = await begin_turn(store, "acme", sid)
    waiting = await _put(admin, base)
    newer = await _put(admin, base, if_busy="interrupt")
    assert newer["joined"] is False
    assert [(item.kind, item.target) for item in await played.inbox()] == [
        ("input", waiting["turn"]),
        ("cancel", first["turn"]),
        ("input", newer["turn"]),
    ]


async def test_an_interrupt_leaves_turns_alone_that_have_not_started(
    admin: httpx.AsyncClient, base: str
) -> None:
    first = await _put(admin, base)
    await _put(admin, base, if_busy="interrupt")
    assert await _queued(admin) == 2
    assert (await admin.get(first["status_url"])).json()["state"] == "queued"


async def test_an_injected_input_joins_the_turn_under_way(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    first = await _put(admin, base)
    played = await begin_turn(store, "acme", sid)
    joined = await _put(admin, base, **_INJECT)
    assert joined == {**first, "joined": True}
    assert await _queued(admin) == 0
    await played.take_in()
    await played.finish()
    assert await _said(admin, base) == ["hi", "and this", "done"]


async def test_an_injected_input_is_a_turn_of_its_own_when_none_is_under_way(
    admin: httpx.AsyncClient, base: str
) -> None:
    first = await _put(admin, base, **_INJECT)
    second = await _put(admin, base, **_INJECT)
    assert (first["joined"], second["joined"]) == (False, False)
    assert first["turn"] != second["turn"]


@pytest.mark.parametrize("word", ["later", "", "INJECT", 1, None, ["inject"]])
async def test_another_word_is_refused_by_the_name_of_the_field(
    admin: httpx.AsyncClient, base: str, word: object
) -> None:
    answer = await admin.post(f"{base}/turns", json={"input": "hi", "if_busy": word})
    assert (answer.status_code, answer.json()["field"]) == (422, "if_busy")
    if isinstance(word, str):
        assert answer.json()["detail"] == "expected one of enqueue, inject, interrupt, reject"
    assert "turns:queued" not in (await admin.get("/v1/workspaces/acme/stats")).json()


async def test_a_streamed_injection_follows_the_turn_from_there_on(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    first = await _put(admin, base)
    played = await begin_turn(store, "acme", sid)
    last = await played.say("before")
    async with events(admin, f"{base}/turns", method="POST", json=_INJECT, headers=_SSE) as source:
        await played.say("after")
        await played.take_in()
        await played.finish()
        sent = await take(source, 99)
    assert kinds(sent) == ["text.delta", "message.committed", "turn.succeeded"]
    assert sent[0].json()["text"] == "after"
    assert seqs(sent) == [last + 1, last + 2, last + 3]
    whole = await read_all(admin, first["events_url"])
    assert kinds(whole)[:3] == ["turn.queued", "turn.started", "text.delta"]
    assert [event.id for event in whole[-3:]] == [event.id for event in sent]


async def test_a_streamed_interrupt_follows_its_own_turn(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    first = await _put(admin, base)
    played = await begin_turn(store, "acme", sid)
    body = {"input": "instead", "if_busy": "interrupt"}
    async with events(admin, f"{base}/turns", method="POST", json=body, headers=_SSE) as source:
        (queued,) = await take(source, 1)
        await played.finish(outcome="cancelled")
        await admin.post(f"/v1/workspaces/acme/turns/{queued.json()['turn']}/cancel")
        (last,) = await take(source, 99)
    assert queued.event == "turn.queued"
    assert last.event == "turn.cancelled"
    assert queued.json()["turn"] == last.json()["turn"] != first["turn"]


async def test_an_injection_repeated_under_its_key_joins_once_and_is_answered_the_same(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    await _put(admin, base)
    played = await begin_turn(store, "acme", sid)
    once = {"Idempotency-Key": "k"}
    first, again = [await admin.post(f"{base}/turns", json=_INJECT, headers=once) for _ in range(2)]
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.json()["joined"] is True
    assert [item.kind for item in await played.inbox()] == ["inject"]
    other = await admin.post(f"{base}/turns", json={"input": "and this"}, headers=once)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    await played.take_in()
    await played.finish()
    assert (await admin.post(f"{base}/turns", json=_INJECT, headers=once)).json() == first.json()
    assert await _said(admin, base) == ["hi", "and this", "done"]


async def test_a_repeated_streamed_injection_starts_where_the_first_one_did(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    await _put(admin, base)
    played = await begin_turn(store, "acme", sid)
    await played.say("before")
    headers = {**_SSE, "Idempotency-Key": "k"}
    path = f"{base}/turns"
    async with events(admin, path, method="POST", json=_INJECT, headers=headers):
        pass
    await played.say("after")
    async with events(admin, path, method="POST", json=_INJECT, headers=headers) as source:
        (after,) = await take(source, 1)
        await played.take_in()
        await played.finish()
        rest = await take(source, 99)
    assert after.json()["text"] == "after"
    assert kinds(rest) == ["message.committed", "turn.succeeded"]
    ended = await read_all(admin, path, method="POST", json=_INJECT, headers=headers)
    assert [event.id for event in ended] == [event.id for event in [after, *rest]]
