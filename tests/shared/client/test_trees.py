"""Streams of a session or a turn with all below it, as both clients follow them."""

from typing import Any

from bursar.client import TreeView
from support.both_clients import TURN, TURNS, Make, ask, read
from support.stub_gateway import StubGateway, event, stream, turn_body

EVENTS = f"GET {TURN}/events"
SESSION = "/v1/workspaces/acme/sessions/s1"


def own(place: str, kind: str, **data: Any) -> bytes:
    return event(int(place.partition(".")[0]), kind, place=place, **data)


def below(place: str, kind: str, **data: Any) -> bytes:
    """An event of a sub-agent. Its number is that of its own log, and may be any."""
    return event(1, kind, session="s1~kid", turn="trn_kid", place=place, **data)


QUEUED, END = own("1.0", "turn.queued", step=0), own("9.4", "turn.succeeded")


async def test_a_turn_ends_with_its_own_end_and_not_with_a_sub_agents(
    stub: StubGateway, make: Make
) -> None:
    frames = [QUEUED, below("1.1", "turn.succeeded"), own("2.1", "text.delta", text="Hi"), END]
    stub.on(f"POST {TURNS}", stream(*frames))
    turn = make(stub.url).stream("s1", "hi", tree=True)
    assert [one.kind for one in await read(turn)] == [
        "turn.queued",
        "turn.succeeded",
        "text.delta",
        "turn.succeeded",
    ]
    assert (turn.text, turn.turn, turn.cursor) == ("Hi", "t1", "7-9.4")
    (asked,) = stub.seen
    assert asked.query == "tree=true"


async def test_a_turn_that_was_joined_is_not_taken_for_a_sub_agents(
    stub: StubGateway, make: Make
) -> None:
    stub.on(f"POST {TURNS}", stream(below("5.1", "step.started"), own("6.1", "x"), cut=True))
    stub.on(EVENTS, stream(END))
    stub.on(f"GET {TURN}", turn_body())
    turn = make(stub.url).stream("s1", "hi", if_busy="inject", tree=True)
    assert [one.kind for one in await read(turn)][-1] == "turn.succeeded"
    assert turn.turn == "t1"
    (asked,) = stub.asked(EVENTS)
    assert (asked.headers["last-event-id"], asked.query) == ("7-6.1", "tree=true")


async def test_what_came_before_comes_once_in_either_log(stub: StubGateway, make: Make) -> None:
    first = [QUEUED, below("1.1", "a"), own("2.1", "b"), below("2.2", "c")]
    repeated = [own("2.1", "b"), below("2.2", "c"), below("2.3", "d"), own("3.3", "e"), END]
    stub.on(f"POST {TURNS}", stream(*first, cut=True))
    stub.on(EVENTS, stream(*repeated))
    turn = make(stub.url).stream("s1", "hi", tree=True)
    assert [one.kind for one in await read(turn)] == [
        "turn.queued", "a", "b", "c", "d", "e", "turn.succeeded",
    ]  # fmt: skip


async def test_an_abandoned_attempt_of_a_sub_agent_takes_nothing_from_the_text(
    stub: StubGateway, make: Make
) -> None:
    frames = [
        QUEUED,
        own("2.0", "text.delta", text="kept"),
        below("2.1", "step.abandoned"),
        below("2.2", "reset"),
    ]
    stub.on(f"POST {TURNS}", stream(*frames, END))
    turn = make(stub.url).stream("s1", "hi", tree=True)
    await read(turn)
    assert turn.text == "kept"


async def test_a_session_ends_with_its_own_end(stub: StubGateway, make: Make) -> None:
    frames = [
        own("1.0", "session.created"),
        below("1.1", "session.ended"),
        own("2.1", "session.ended"),
    ]
    stub.on(f"GET {SESSION}/events", stream(*frames))
    events = await read(make(stub.url).session_events("s1", tree=True))
    assert [one.session for one in events] == ["s1", "s1~kid", "s1"]
    stub.on(f"GET {TURN}/events", stream(below("1.1", "turn.failed"), END))
    assert len(await read(make(stub.url).turn_events("t1", tree=True))) == 2


async def test_a_tree_is_read(stub: StubGateway, make: Make) -> None:
    node = {"id": "s1", "parent": "", "depth": 0, "agent": "a", "title": "", "state": "idle"}
    stub.on(f"GET {SESSION}/tree", {"root": "s1", "purse": {}, "nodes": [node], "cursor": "5-x"})
    view = await ask(make(stub.url).session_tree("s1", live=True, cursor="4-y", limit=1))
    assert isinstance(view, TreeView)
    assert (view.nodes[0].agent, view.cursor, view.totals) == ("a", "5-x", None)
    assert stub.seen[0].query == "live=true&cursor=4-y&limit=1"
