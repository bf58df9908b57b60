"""How Ctrl-C and a turn's events meet on the terminal."""

from collections.abc import Iterator

import pytest

from bursar.cli.live import LiveView, follow, report_failure
from bursar.cli.output import console
from bursar.client import Client, ClientEvent, TurnResult
from support.stub_gateway import StubGateway, event, stream, turn_body

TURN = "/v1/workspaces/default/turns/t1"
TURNS = "/v1/workspaces/default/sessions/s1/turns"


class Interrupted(LiveView):
    """A view during which somebody presses Ctrl-C, at the first event of a kind."""

    def __init__(self, *kinds: str) -> None:
        super().__init__(workspace="default")
        self._kinds = list(kinds)

    def show(self, event: ClientEvent) -> None:
        if self._kinds and event.kind == self._kinds[0]:
            self._kinds.pop(0)
            raise KeyboardInterrupt
        super().show(event)


@pytest.fixture
def client(stub: StubGateway) -> Iterator[Client]:
    console.cache_clear()
    with Client(stub.url, "secret") as made:
        yield made
    console.cache_clear()


def test_ctrl_c_cancels_the_turn_and_shows_how_it_ends(
    stub: StubGateway, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.on(f"POST {TURNS}", stream(event(1, "turn.started"), event(2, "text.delta", text="a")))
    stub.on(f"POST {TURN}/cancel", turn_body("running"))
    stub.on(f"GET {TURN}/events", stream(event(3, "turn.cancelled")))
    stub.on(f"GET {TURN}", turn_body("cancelled", code="cancelled"))
    result = follow(client, client.stream("s1", "hi"), Interrupted("text.delta"))
    assert result.state == "cancelled"
    assert stub.asked(f"GET {TURN}/events")[0].headers["last-event-id"] == "7-2"
    assert "cancelling" in capsys.readouterr().out


def test_a_second_ctrl_c_leaves_the_turn_alone(stub: StubGateway, client: Client) -> None:
    stub.on(f"POST {TURNS}", stream(event(1, "turn.started"), event(2, "text.delta", text="a")))
    stub.on(f"POST {TURN}/cancel", turn_body("running"))
    stub.on(f"GET {TURN}/events", stream(event(3, "turn.cancelled")))
    view = Interrupted("text.delta", "turn.cancelled")
    with pytest.raises(KeyboardInterrupt):
        follow(client, client.stream("s1", "hi"), view)
    assert len(stub.asked(f"POST {TURN}/cancel")) == 1


def test_the_view_knows_who_ran_the_turns() -> None:
    view = LiveView(workspace="default")
    for number, worker in enumerate(["w1", "w2", "w1"]):
        data = {"worker": worker}
        view.show(ClientEvent(f"1-{number}", "turn.started", data))
    assert view.workers == ["w1", "w2"]


@pytest.mark.parametrize(
    ("state", "code", "reason", "said"),
    [
        ("failed", "model_error", "away", "the turn failed: model_error: away"),
        ("cancelled", "cancelled", "", "the turn was cancelled"),
        ("cancelled", "cancelled", "too slow", "the turn was cancelled: too slow"),
        ("quarantined", "", "three workers died", "the turn was quarantined: three workers died"),
    ],
)
def test_a_failure_is_said_once(
    capsys: pytest.CaptureFixture[str], state: str, code: str, reason: str, said: str
) -> None:
    report_failure(TurnResult("t1", "s1", state, code=code, reason=reason))
    assert capsys.readouterr().err == f"bursar: {said}\n"


def test_a_turn_that_waits_for_money_says_whose_and_how_much(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.cache_clear()
    amounts = {"available_microusd": 1500, "requested_microusd": 2_000_000}
    view = LiveView(workspace="default")
    for kind, data in (
        ("turn.waiting", {"reason": "budget", "account": "ws", "kind": "exhausted", **amounts}),
        ("turn.waiting", {"reason": "budget", "account": "ws", "kind": "contended", **amounts}),
        (
            "turn.waiting",
            {"reason": "budget", "account": "s:s1", "kind": "exhausted", "unit": "tokens"}
            | {"available_tokens": 5, "requested_tokens": 90},
        ),
        ("budget.raised", {"account": "ws"}),
        ("budget.overrun", {"account": "ws"}),
    ):
        view.show(ClientEvent(id="7-1", kind=kind, data=data))
    console.cache_clear()
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert shown.pop(2).startswith("… waiting for money: ws has $0.0015 left, others hold the rest")
    assert shown == [
        "… waiting for money: ws has $0.0015 left; the next call needs up to $2.00",
        "  to give more: bursar budget set USD",
        "… waiting for money: s:s1 has 5 tokens left; the next call needs up to 90 tokens",
        "  to give more: bursar budget set --token-limit COUNT --session s1",
        "+ the budget was raised: ws",
        "! more was spent than the budget allows, it is frozen: ws",
    ]


def test_what_is_to_be_typed_names_the_workspace(capsys: pytest.CaptureFixture[str]) -> None:
    console.cache_clear()
    data = {"reason": "budget", "account": "user:ann", "kind": "exhausted"}
    amounts = {"available_microusd": 0, "requested_microusd": 1}
    LiveView(workspace="acme").show(ClientEvent(id="7-1", kind="turn.waiting", data=data | amounts))
    console.cache_clear()
    said = capsys.readouterr().out
    assert "to give more: bursar budget set USD --user ann -w acme\n" in said


def test_a_turn_that_waits_for_an_answer_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    console.cache_clear()
    data = {"reason": "approval", "approvals": ["apr_1"]}
    LiveView(workspace="default").show(ClientEvent(id="7-1", kind="turn.waiting", data=data))
    console.cache_clear()
    assert capsys.readouterr().out == "… waiting for an answer; no worker is held meanwhile\n"
