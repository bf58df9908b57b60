"""Inputs beside a running turn, cancels, the kill switch and caps, in both clients."""

import pytest

from bursar.errors import Conflict, InvalidInput, LimitReached
from support.both_clients import TURN, TURNS, Make, ask, read
from support.samples import workspace
from support.stub_gateway import Answer, StubGateway, event, problem, stream, turn_body

WS = "/v1/workspaces/acme"
JOINED = {"turn": "t1", "session": "s1", "joined": True}


async def test_what_an_input_does_beside_a_turn_is_sent_only_if_it_is_given(
    stub: StubGateway, make: Make
) -> None:
    stub.on(f"POST {TURNS}", {"turn": "t1", "session": "s1"}, JOINED)
    client = make(stub.url)
    queued = await ask(client.start_turn("s1", "hi"))
    joined = await ask(client.start_turn("s1", "hi", custom={"a": 1}, if_busy="inject"))
    assert (queued.joined, joined.joined, joined.turn) == (False, True, "t1")
    assert [seen.body for seen in stub.seen] == [
        {"input": "hi"},
        {"input": "hi", "custom": {"a": 1}, "if_busy": "inject"},
    ]


async def test_an_input_that_joins_is_repeated_under_its_key(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURNS}", Answer(drop=True), JOINED)
    assert (await ask(make(stub.url).start_turn("s1", "hi", if_busy="inject"))).joined
    first, again = stub.seen
    assert first.body == again.body == {"input": "hi", "if_busy": "inject"}
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]


async def test_a_turn_that_was_joined_is_streamed_from_there_on_and_resumed(
    stub: StubGateway, make: Make
) -> None:
    """It does not begin with `turn.queued`: the first event of any kind names the turn."""
    stub.on(f"POST {TURNS}", stream(event(7, "text.delta", text="both "), cut=True))
    end = event(9, "turn.succeeded")
    stub.on(f"GET {TURN}/events", stream(event(8, "text.delta", text="of you"), end))
    turn = make(stub.url).stream("s1", "and me", if_busy="inject")
    assert [one.seq for one in await read(turn)] == [7, 8, 9]
    assert (turn.turn, turn.text) == ("t1", "both of you")
    assert stub.asked(f"POST {TURNS}")[0].body == {"input": "and me", "if_busy": "inject"}
    assert stub.asked(f"GET {TURN}/events")[0].headers["last-event-id"] == "7-7"


async def test_a_busy_session_is_a_conflict_and_a_wrong_word_an_input_error(
    stub: StubGateway, make: Make
) -> None:
    stub.on(
        f"POST {TURNS}",
        problem(409, "session_busy"),
        problem(422, "invalid_input", "expected one of enqueue, reject", field="if_busy"),
    )
    client = make(stub.url)
    with pytest.raises(Conflict) as busy:
        await read(client.stream("s1", "hi", if_busy="reject"))
    with pytest.raises(InvalidInput) as wrong:
        await ask(client.start_turn("s1", "hi", if_busy="maybe"))
    assert (busy.value.code, wrong.value.field) == ("session_busy", "if_busy")
    assert len(stub.seen) == 2


async def test_the_reason_of_a_cancel_is_sent_and_read(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURN}/cancel", turn_body("cancelled", code="cancelled", reason="too slow"))
    client = make(stub.url)
    turn = await ask(client.cancel_turn("t1", reason="too slow"))
    assert (turn.ended, turn.reason) == (True, "too slow")
    await ask(client.cancel_turn(turn))
    assert [seen.body for seen in stub.seen] == [{"reason": "too slow"}, {}]


async def test_a_workspace_is_killed_and_revived(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {WS}/kill", workspace(killed=True, paused=True))
    stub.on(f"POST {WS}/revive", workspace(killed=False), problem(409, "workspace_alive"))
    client = make(stub.url)
    killed = await ask(client.kill_workspace(reason="runaway agent"))
    await ask(client.kill_workspace())
    assert (killed.killed, killed.paused) == (True, True)
    assert (await ask(client.revive_workspace())).killed is False
    with pytest.raises(Conflict) as alive:
        await ask(client.revive_workspace())
    assert alive.value.code == "workspace_alive"
    assert [seen.body for seen in stub.asked(f"POST {WS}/kill")] == [
        {"reason": "runaway agent"},
        {},
    ]


async def test_the_cap_of_queued_turns_is_set_and_read(stub: StubGateway, make: Make) -> None:
    stub.on("POST /v1/workspaces", workspace(max_queued=5))
    stub.on(f"PATCH {WS}", workspace(max_queued=6))
    client = make(stub.url)
    assert (await ask(client.create_workspace("acme", max_queued=5))).max_queued == 5
    assert (await ask(client.update_workspace({"max_queued": 6}))).max_queued == 6
    assert [seen.body for seen in stub.seen] == [{"id": "acme", "max_queued": 5}, {"max_queued": 6}]


async def test_a_gateway_of_before_knows_neither_kills_nor_the_cap(
    stub: StubGateway, make: Make
) -> None:
    stub.on(f"GET {WS}", workspace())
    view = await ask(make(stub.url).get_workspace())
    assert (view.killed, view.max_queued) == (False, None)


@pytest.mark.parametrize("code", ["workspace_busy", "overloaded", "too_many_streams"])
async def test_a_full_gateway_says_when_to_come_again_and_is_not_pressed(
    stub: StubGateway, make: Make, code: str
) -> None:
    stub.on(f"POST {TURNS}", problem(429, code, retry_after=5))
    client = make(stub.url)
    with pytest.raises(LimitReached) as put:
        await ask(client.start_turn("s1", "hi"))
    with pytest.raises(LimitReached) as streamed:
        await read(client.stream("s1", "hi"))
    for caught in (put, streamed):
        assert (caught.value.code, caught.value.details["retry_after_s"]) == (code, 5)
    assert len(stub.seen) == 2
