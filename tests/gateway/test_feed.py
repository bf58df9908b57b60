"""The feed of a workspace's questions: what is open, then what happens, resumed like any stream."""

import asyncio
from typing import Any

import httpx
import pytest

from bursar.gate.approvals import list_open
from bursar.settings import GatewaySettings
from bursar.store.keys import GlobalKeys
from bursar.store.store import Store
from support.gateway import (
    PlayedTurn,
    Running,
    begin_turn,
    events,
    kinds,
    raw_stream,
    running,
    seqs,
    take,
    wait_until,
)
from support.questions import put_question

MANY = "/v1/workspaces/acme/approvals"
FEED = f"{MANY}/events"


@pytest.fixture
async def turn(store: Store, admin: httpx.AsyncClient, base: str, sid: str) -> PlayedTurn:
    await admin.post(f"{base}/turns", json={"input": "hi"})
    return await begin_turn(store, "acme", sid)


class Asking:
    """Puts questions of one turn, each about another call."""

    def __init__(self, store: Store, turn: PlayedTurn) -> None:
        self._store, self._turn, self._count = store, turn, 0

    async def __call__(self, **fields: Any) -> str:
        self._count += 1
        call, arguments = f"c{self._count}", f'{{"n": {self._count}}}'
        asked = await put_question(
            self._store, self._turn.lease, self._turn.turn, call=call, arguments=arguments, **fields
        )
        return asked.id


@pytest.fixture
def ask(store: Store, turn: PlayedTurn) -> Asking:
    return Asking(store, turn)


async def answer(client: httpx.AsyncClient, approval: str, decision: str = "deny") -> None:
    seen = (await client.get(f"{MANY}/{approval}")).json()
    body = {"decision": decision, "arguments_sha256": seen["arguments_sha256"]}
    assert (await client.post(f"{MANY}/{approval}", json=body)).status_code == 200


def about(sent: list[Any]) -> list[str]:
    return [event.json()["approval"] for event in sent]


async def test_it_begins_with_what_is_open_and_goes_on_with_what_happens(
    admin: httpx.AsyncClient, ask: Asking, sid: str, turn: PlayedTurn
) -> None:
    first, urgent, answered = await ask(), await ask(priority="critical"), await ask()
    await answer(admin, answered)
    async with events(admin, FEED) as source:
        shown = await take(source, 2)
        assert about(shown) == [first, urgent], "the oldest first"
        third = await ask()
        await answer(admin, first, "approve")
        later = await take(source, 2)
    assert kinds(later) == ["approval.requested", "approval.resolved"]
    assert about(later) == [third, first]
    told = shown[0].json()
    assert (told["session"], told["turn"], told["step"]) == (sid, turn.turn, 1)
    assert (told["root"], told["tool"], told["state"]) == (sid, "send", "pending")
    assert {"at_ms", "seq", "risk", "reason", "deadline_ms"} <= told.keys()
    assert (later[1].json()["decision"], later[1].json()["by"]) == ("approve", "key:environment")


async def test_it_says_the_same_as_the_events_do(admin: httpx.AsyncClient, ask: Asking) -> None:
    """What a client is told at the beginning has all that the event of then had."""
    async with events(admin, FEED) as source:
        await ask()
        (live,) = await take(source, 1)
    async with events(admin, FEED) as source:
        (shown,) = await take(source, 1)
    same = live.json().keys() - {"seq", "at_ms"}
    assert {name: shown.json()[name] for name in same} == {n: live.json()[n] for n in same}


async def test_a_question_of_before_is_not_told_twice(
    admin: httpx.AsyncClient, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is put while the open ones are read is among them, and its event comes as well."""
    put: list[str] = []

    async def reads_late(*args: Any, **more: Any) -> Any:
        put.append(await ask())
        return await list_open(*args, **more)

    monkeypatch.setattr("bursar_gateway.watched.list_open", reads_late)
    async with events(admin, FEED) as source:
        shown = await take(source, 1)
        later = await ask()
        shown += await take(source, 1)
    assert about(shown) == [*put, later]


async def test_it_is_resumed_behind_the_last_event(admin: httpx.AsyncClient, ask: Asking) -> None:
    async with events(admin, FEED) as source:
        first = await ask()
        (seen,) = await take(source, 1)
    second = await ask()
    await answer(admin, first)
    async with events(admin, FEED, after=seen.id) as source:
        rest = await take(source, 2)
        third = await ask()
        rest += await take(source, 1)
    assert kinds(rest) == ["approval.requested", "approval.resolved", "approval.requested"]
    assert about(rest) == [second, first, third]
    assert seqs(rest) == [2, 3, 4]


async def test_what_is_open_has_no_cursor_before_its_end(
    admin: httpx.AsyncClient, live: Running, ask: Asking
) -> None:
    """Resumed in the middle it would lack the rest."""
    for _ in range(3):
        await ask()
    reader, writer = await raw_stream(live, FEED)
    frames = [await reader.readuntil(b"\n\n") for _ in range(4)]
    writer.close()
    lines = [frame.split(b"\n") for frame in frames]
    assert [frame[0].split(b"\r\n")[-1] for frame in lines[:3]] == [b"id:"] * 3
    assert frames[3].strip().endswith(b"-3")
    assert b"data:" not in frames[3]


async def test_nothing_open_still_gives_a_cursor(
    admin: httpx.AsyncClient, live: Running, store: Store, sid: str
) -> None:
    reader, writer = await raw_stream(live, FEED)
    assert (await reader.readuntil(b"\n\n")).endswith(f"id: {store.generation}-0\n\n".encode())
    writer.close()


async def test_a_root_shows_its_own_tree_only(admin: httpx.AsyncClient, ask: Asking) -> None:
    await ask(root="ses_other")
    mine = await ask(root="ses_mine")
    async with events(admin, f"{FEED}?root=ses_mine") as source:
        assert about(await take(source, 1)) == [mine]
        await ask(root="ses_other")
        await ask(root="ses_other", reason='"root":"ses_mine"')
        again = await ask(root="ses_mine")
        assert about(await take(source, 1)) == [again]


async def test_trimmed_events_are_a_gap_with_the_place_to_look(
    admin: httpx.AsyncClient, store: Store, ask: Asking
) -> None:
    async with events(admin, FEED) as source:
        await ask()
        (first,) = await take(source, 1)
    for _ in range(5):
        last = await ask()
    await store.redis.call("XTRIM", store.workspace("acme").events, "MAXLEN", 1)
    async with events(admin, f"{FEED}?root=ses_x", after=first.id) as source:
        (gap,) = await take(source, 1)
    assert (gap.event, gap.json()["first_seq"], gap.json()["last_seq"]) == ("gap", 2, 5)
    assert gap.json()["snapshot_url"] == f"{MANY}?root=ses_x"
    async with events(admin, FEED, after=first.id) as source:
        sent = await take(source, 2)
    assert (kinds(sent), sent[1].json()["approval"]) == (["gap", "approval.requested"], last)


@pytest.mark.parametrize(("shift", "seq", "reason"), [(-1, 0, "generation"), (0, 99, "ahead")])
async def test_a_cursor_of_other_events_gets_a_reset_and_what_is_open(
    admin: httpx.AsyncClient, store: Store, ask: Asking, shift: int, seq: int, reason: str
) -> None:
    done, still = await ask(), await ask()
    await answer(admin, done)
    cursor = f"{store.generation + shift}-{seq}"
    async with events(admin, FEED, after=cursor) as source:
        reset, shown = await take(source, 2)
        later = await ask()
        assert about(await take(source, 1)) == [later]
    assert (reset.event, reset.json()["reason"]) == ("reset", reason)
    assert reset.json()["snapshot_url"] == MANY
    assert shown.json()["approval"] == still


async def test_another_generation_on_the_way_begins_anew(
    admin: httpx.AsyncClient, store: Store, ask: Asking
) -> None:
    done, still = await ask(), await ask()
    async with events(admin, FEED) as source:
        assert about(await take(source, 2)) == [done, still]
        await answer(admin, done)
        assert kinds(await take(source, 1)) == ["approval.resolved"]
        await store.redis.call("HINCRBY", GlobalKeys.install, "generation", 1)
        await store.redis.call("CLIENT", "KILL", "TYPE", "pubsub")
        reset, shown = await take(source, 2)
        assert (reset.event, reset.json()["reason"]) == ("reset", "generation")
        assert about([shown]) == [still]
        later = await ask()
        (event,) = await take(source, 1)
    assert event.json()["approval"] == later
    assert event.id == f"{store.generation + 1}-{event.json()['seq']}"


async def test_it_is_heard_once_for_all_who_watch(
    admin: httpx.AsyncClient, live: Running, store: Store, ask: Asking
) -> None:
    channel = store.workspace("acme").events
    got: list[list[str]] = []

    async def watch() -> None:
        async with events(admin, FEED) as source:
            got.append(about(await take(source, 3)))

    watching = [asyncio.create_task(watch()) for _ in range(10)]
    await wait_until(lambda: live.gateway.hub.listeners(channel) == 10, "ten watch")
    assert await store.redis.call("PUBSUB", "NUMSUB", channel) == [channel.encode(), 1]
    asked = [await ask() for _ in range(3)]
    await asyncio.gather(*watching)
    assert got == [asked] * 10
    await wait_until(lambda: live.gateway.admission.streams == 0, "all slots were given back")


async def test_streams_of_the_feed_count_against_the_caps(
    store: Store, gateway_settings: GatewaySettings, sid: str
) -> None:
    few = gateway_settings.model_copy(update={"max_streams": 1})
    async with running(few) as other, other.client() as client, events(client, FEED):
        refused = await client.get(FEED)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")


async def test_what_cannot_be_watched_is_refused(admin: httpx.AsyncClient, sid: str) -> None:
    nobody = await admin.get("/v1/workspaces/nobody/approvals/events")
    assert (nobody.status_code, nobody.json()["code"]) == (404, "workspace_not_found")
    root = await admin.get(f"{FEED}?root=a/b")
    assert (root.status_code, root.json()["field"]) == (422, "root")
    cursor = await admin.get(FEED, headers={"Last-Event-ID": "x"})
    assert (cursor.status_code, cursor.json()["field"]) == (422, "Last-Event-ID")


async def test_the_watcher_of_a_busy_workspace_misses_nothing(
    admin: httpx.AsyncClient, ask: Asking
) -> None:
    """Cut off again and again it sees each question once."""
    asked: list[str] = []

    async def put() -> None:
        while len(asked) < 60:
            asked.append(await ask())

    seen: list[str] = []
    async with asyncio.TaskGroup() as group:
        async with events(admin, FEED) as source:
            group.create_task(put())
            first = await take(source, 1)
        cursor = first[0].id
        seen += about(first)
        while len(seen) < 60:
            async with events(admin, FEED, after=cursor) as source:
                part = await take(source, min(7, 60 - len(seen)))
            cursor = part[-1].id
            seen += about(part)
    assert seen == asked
