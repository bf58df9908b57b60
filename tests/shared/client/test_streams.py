"""Event streams of both clients: whatever is cut, each event comes once and the end is seen."""

import pytest

from bursar.client import AsyncClient, Client
from bursar.errors import BursarError, Conflict, Denied, GatewayUnreachable
from support.both_clients import TURN, TURNS, Make, ask, read
from support.stub_gateway import Answer, StubGateway, event, problem, stream, turn_body

EVENTS = f"GET {TURN}/events"
SESSION_EVENTS = "/v1/workspaces/acme/sessions/s1/events"
QUEUED, END = event(1, "turn.queued", step=0), event(9, "turn.succeeded")


def delta(seq: int, text: str, step: int = 1) -> bytes:
    return event(seq, "text.delta", text=text, step=step)


async def test_a_turn_is_streamed_to_its_terminal_event(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURNS}", stream(QUEUED, delta(2, "Hel"), delta(3, "lo"), END, delta(10, "no")))
    turn = make(stub.url).stream("s1", "hi")
    events = await read(turn)
    assert [one.kind for one in events] == [
        "turn.queued",
        "text.delta",
        "text.delta",
        "turn.succeeded",
    ]
    first = events[1]
    assert (first.id, first.session, first.turn, first.seq) == ("7-2", "s1", "t1", 2)
    assert (turn.turn, turn.text, turn.cursor) == ("t1", "Hello", "7-9")


async def test_the_end_is_seen_although_the_connection_stays_open(
    stub: StubGateway, make: Make
) -> None:
    stub.on(f"POST {TURNS}", stream(QUEUED, END, hang_s=0.5))
    client = make(stub.url, stream_idle_s=0.2)
    assert len(await read(client.stream("s1", "hi"))) == 2
    assert len(stub.seen) == 1


@pytest.mark.parametrize("cut", [True, False], ids=["broken", "closed in good order"])
async def test_a_cut_stream_goes_on_behind_the_last_event(
    stub: StubGateway, make: Make, cut: bool
) -> None:
    stub.on(f"POST {TURNS}", stream(QUEUED, delta(2, "Hel"), cut=cut))
    stub.on(EVENTS, stream(delta(3, "lo"), cut=cut), stream(END))
    turn = make(stub.url).stream("s1", "hi")
    assert [one.seq for one in await read(turn)] == [1, 2, 3, 9]
    assert turn.text == "Hello"
    assert [seen.headers["last-event-id"] for seen in stub.asked(EVENTS)] == ["7-2", "7-3"]
    assert len(stub.asked(f"POST {TURNS}")) == 1


async def test_silence_counts_as_a_cut(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURNS}", stream(QUEUED, hang_s=0.5))
    stub.on(EVENTS, stream(END))
    client = make(stub.url, stream_idle_s=0.05)
    assert [one.seq for one in await read(client.stream("s1", "hi"))] == [1, 9]


async def test_events_that_come_again_are_dropped(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURNS}", stream(QUEUED, delta(2, "Hello"), cut=True))
    stub.on(EVENTS, stream(QUEUED, delta(2, "Hello"), END))
    turn = make(stub.url).stream("s1", "hi")
    assert [one.seq for one in await read(turn)] == [1, 2, 9]
    assert turn.text == "Hello"


@pytest.mark.parametrize(
    "bad", [Answer(drop=True), stream(cut=True), problem(503, "store_unavailable")]
)
async def test_an_input_is_sent_again_under_its_key_until_its_turn_is_known(
    stub: StubGateway, make: Make, bad: Answer
) -> None:
    stub.on(f"POST {TURNS}", bad, stream(QUEUED, END))
    assert len(await read(make(stub.url).stream("s1", "hi"))) == 2
    first, again = (seen.headers["idempotency-key"] for seen in stub.seen)
    assert first == again


async def test_an_outage_while_streaming_is_waited_out(stub: StubGateway, make: Make) -> None:
    away = [Answer(drop=True)] * 4 + [problem(503, "store_unavailable")] * 4
    stub.on(f"POST {TURNS}", stream(QUEUED, cut=True))
    stub.on(EVENTS, *away, stream(END))
    assert [one.seq for one in await read(make(stub.url).stream("s1", "hi"))] == [1, 9]


async def test_an_outage_that_does_not_end_is_an_error(
    stub: StubGateway, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursar.client.problems.MAX_PAUSE_S", 0.002)
    stub.on(f"POST {TURNS}", stream(QUEUED, cut=True))
    stub.on(EVENTS, Answer(drop=True))
    with pytest.raises(GatewayUnreachable):
        await read(make(stub.url).stream("s1", "hi"))
    assert len(stub.asked(EVENTS)) == 10


async def test_a_refusal_ends_the_stream_at_once(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURNS}", problem(409, "session_ended"))
    with pytest.raises(Conflict):
        await read(make(stub.url).stream("s1", "hi"))
    stub.replace(f"POST {TURNS}", stream(QUEUED, cut=True))
    stub.on(EVENTS, problem(401, "unauthenticated"))
    with pytest.raises(Denied):
        await read(make(stub.url).stream("s1", "hi"))


async def test_text_of_an_abandoned_attempt_does_not_count(stub: StubGateway, make: Make) -> None:
    stub.on(
        f"POST {TURNS}",
        stream(
            QUEUED,
            delta(2, "First step."),
            delta(3, "wro", step=2),
            event(4, "step.abandoned", step=2, reason="overloaded"),
            delta(5, "right", step=2),
            END,
        ),
    )
    turn = make(stub.url).stream("s1", "hi")
    kinds = [one.kind for one in await read(turn)]
    assert "step.abandoned" in kinds
    assert turn.text == "right"


async def test_after_a_reset_the_text_starts_anew(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURNS}", stream(QUEUED, delta(5, "lost"), cut=True))
    again = [
        event(0, "reset", generation=8, reason="generation"),
        event(1, "text.delta", generation=8, text="new"),
        event(2, "turn.succeeded", generation=8),
    ]
    stub.on(EVENTS, stream(*again))
    turn = make(stub.url).stream("s1", "hi")
    assert [one.kind for one in await read(turn)][2:] == ["reset", "text.delta", "turn.succeeded"]
    assert (turn.text, turn.cursor) == ("new", "8-2")


async def test_a_gap_is_shown_and_what_follows_it_counts(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURNS}", stream(QUEUED, cut=True))
    stub.on(EVENTS, stream(event(6, "gap", first_seq=2, last_seq=6), delta(7, "x"), END))
    events = await read(make(stub.url).stream("s1", "hi"))
    assert [one.kind for one in events] == ["turn.queued", "gap", "text.delta", "turn.succeeded"]


async def test_a_terminal_event_made_from_state_ends_the_stream_whatever_its_number(
    stub: StubGateway, make: Make
) -> None:
    stub.on(EVENTS, stream(event(2, "turn.cancelled", code="cancelled")))
    events = await read(make(stub.url).turn_events("t1", after="7-2"))
    assert [one.kind for one in events] == ["turn.cancelled"]
    assert stub.seen[0].headers["last-event-id"] == "7-2"


async def test_result_reads_on_from_where_the_loop_was_left(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURNS}", stream(QUEUED, delta(2, "Hello"), END))
    stub.on(f"GET {TURN}", turn_body())
    turn = make(stub.url).stream("s1", "hi")
    if hasattr(turn, "__aiter__"):
        async for _ in turn:
            break
    else:
        next(iter(turn))
    assert (await ask(turn.result())).ok
    assert turn.text == "Hello"


async def test_a_session_is_streamed_from_a_cursor_until_it_ends(
    stub: StubGateway, make: Make
) -> None:
    stub.on(
        f"GET {SESSION_EVENTS}",
        stream(QUEUED, END, cut=True),
        stream(event(10, "session.ended", turn="")),
    )
    events = await read(make(stub.url).session_events("s1", after="7-0"))
    assert [one.seq for one in events] == [1, 9, 10]
    assert [seen.headers["last-event-id"] for seen in stub.seen] == ["7-0", "7-9"]


async def test_an_event_that_is_no_json_is_an_error(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURNS}", stream(b"id: 7-1\nevent: turn.queued\ndata: {oops\n\n"))
    with pytest.raises(BursarError) as caught:
        await read(make(stub.url).stream("s1", "hi"))
    assert caught.value.code == "unexpected_answer"


async def test_leaving_early_closes_the_connection(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURNS}", stream(QUEUED, hang_s=0.3))
    stub.on("GET /v1/agents", Answer(b"[]"))
    client = make(stub.url)
    if isinstance(client, AsyncClient):
        turn = client.stream("s1", "hi")
        assert (await anext(aiter(turn))).kind == "turn.queued"
        await turn.aclose()
        assert await client.list_agents() == []
    else:
        assert isinstance(client, Client)
        blocking = client.stream("s1", "hi")
        assert next(iter(blocking)).kind == "turn.queued"
        blocking.close()
        assert client.list_agents() == []
