"""The event log: what is appended, published and read back."""

import pytest
from redis.asyncio import Redis

from bursar.errors import InvalidInput
from bursar.events import (
    DELTAS,
    KINDS,
    TERMINAL,
    Span,
    event_args,
    event_id,
    parse_cursor,
    parse_published,
    read_log,
)
from bursar.store.scripts import turns
from bursar.store.store import Store
from support.stage import Stage


@pytest.mark.parametrize(
    ("cursor", "generation", "seqs"),
    [("17-5", 17, (5,)), ("0-0", 0, (0,)), ("17-5.30", 17, (5, 30))],
)
def test_a_cursor_is_generation_and_a_seq_of_each_log(
    cursor: str, generation: int, seqs: tuple[int, ...]
) -> None:
    assert parse_cursor(cursor, logs=len(seqs)) == (generation, seqs)
    assert event_id(generation, *seqs) == cursor


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "17",
        "17-",
        "-5",
        "a-5",
        "17-b",
        "17-5-6",
        "1" * 41,
        "17--5",
        "1.5-2",
        " 1-2",
        "\u0661-\u0662",
    ],
)
def test_what_was_never_an_id_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_cursor(cursor)
    assert caught.value.field == "Last-Event-ID"


@pytest.mark.parametrize("cursor", ["17-5", "17-5.", "17-.5", "17-5.6.7", "17-5.x", "17.5-6"])
def test_an_id_of_one_log_is_none_of_two(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="tree_seq"):
        parse_cursor(cursor, logs=2)


def test_terminal_events_and_deltas_are_events() -> None:
    assert TERMINAL < KINDS
    assert DELTAS < KINDS
    assert not TERMINAL & DELTAS


def test_an_event_says_where_it_happened() -> None:
    span = Span("s", "t").at(step=2, attempt=1)
    event = span.event("tool.started", call="c1")
    assert event.body == b'{"session":"s","turn":"t","step":2,"attempt":1,"call":"c1"}'
    assert span.at(turn="u") == Span("s", "u", 2, 1)
    assert event_args([event, event])[:3] == [2, "tool.started", event.body]


async def test_the_log_is_read_after_a_seq_in_pages(store: Store) -> None:
    stage = await Stage.build(store)
    lease, turn = await stage.running()
    await turns.append_events(store, lease, [stage.event("text.delta", turn) for _ in range(5)])
    page = await read_log(store, stage.session, after=3, limit=2)
    assert [event.seq for event in page] == [4, 5]
    assert [event.seq for event in await read_log(store, stage.session, after=7)] == [8]
    assert await read_log(store, stage.session, after=8) == []


async def test_the_channel_carries_the_bytes_of_the_log(store: Store) -> None:
    stage = await Stage.build(store)
    redis: Redis = Redis.from_url(store.settings.redis_url)
    pubsub = redis.pubsub()
    await pubsub.subscribe(stage.session.events)
    await pubsub.get_message(timeout=5)
    await stage.put()
    message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=5)
    assert parse_published(message["data"]) == (await stage.events())[-1]
    await pubsub.aclose()  # type: ignore[no-untyped-call]
    await redis.aclose()


async def test_the_log_is_bounded_and_keeps_the_newest(store: Store) -> None:
    stage = await Stage.build(store)
    store.settings.event_log_max = 100
    lease, turn = await stage.running()
    for _ in range(10):
        await turns.append_events(store, lease, [stage.event("text.delta", turn)] * 100)
    length = await store.redis.call("XLEN", stage.session.events)
    assert 100 <= length < 400
    assert (await read_log(store, stage.session, after=0, limit=1000))[-1].seq == 1003
