"""A turn under way is joined, interrupted and killed, from HTTP down to the worker that runs it."""

from collections.abc import Iterator
from functools import partial

import pytest

from bursar.cli.supervisor import Installation
from bursar.client import Client, TurnStream
from bursar.errors import Conflict
from bursar.messages import AssistantMessage, UserMessage
from support.waiting import ended, wait_for

BRIEF = "local:echo?delay_ms=20&tokens=60"
ENDLESS = "local:echo?delay_ms=100&tokens=900"


@pytest.fixture
def client(installation: Installation) -> Iterator[Client]:
    """Of a workspace of this module's own: it is killed here."""
    with installation.client("controlled") as made:
        if "controlled" not in [view.id for view in made.list_workspaces()]:
            made.create_workspace("controlled")
        yield made


def _speaking(stream: TurnStream) -> TurnStream:
    """Read on until the agent speaks: its turn is under way in the middle of a model call."""
    for event in stream:
        if event.kind == "text.delta":
            break
    return stream


def test_an_input_that_joins_a_turn_is_answered_by_it(client: Client) -> None:
    session = client.create_session("echo", model=BRIEF)
    first = _speaking(client.stream(session, "one"))
    joining = client.stream(session, "two", if_busy="inject")
    kinds = [event.kind for event in joining]
    assert joining.turn == first.turn
    assert "turn.queued" not in kinds, "it is followed from there on"
    assert kinds[-1] == "turn.succeeded"
    assert first.result() == joining.result()
    assert first.result().output.startswith("two ")
    messages = client.list_messages(session)
    assert [message.text for message in messages if isinstance(message, UserMessage)] == [
        "one",
        "two",
    ]
    assert [type(message) for message in messages] == [UserMessage, AssistantMessage] * 2


def test_an_interrupt_and_a_kill_end_what_runs_within_seconds(client: Client) -> None:
    session = client.create_session("echo", model=ENDLESS)
    first = _speaking(client.stream(session, "one"))
    second = client.stream(session, "two", if_busy="interrupt")
    _speaking(second)
    interrupted = client.get_result(first.turn)
    assert (interrupted.state, interrupted.reason) == ("cancelled", "interrupted by a newer input")
    waiting = client.start_turn(session, "three")

    assert client.kill_workspace(reason="runaway agent").killed
    for turn in (second.turn, waiting.turn):
        wait_for(partial(ended, client, turn), "the end of a killed turn", timeout_s=5)
        result = client.get_result(turn)
        assert (result.state, result.reason) == ("cancelled", "runaway agent")
    *_, last = second
    assert (last.kind, last.data["reason"]) == ("turn.cancelled", "runaway agent")
    assert client.get_session_budget(session).account.pending_microusd == 0
    with pytest.raises(Conflict) as refused:
        client.start_turn(session, "four")
    assert refused.value.code == "workspace_killed"

    assert not client.revive_workspace().killed
    assert client.run(client.create_session("echo", model=BRIEF), "again").ok
