"""``bursar run`` and ``bursar chat`` against a gateway that plays its part."""

import io
import json

import pytest

from support.command import Bursar
from support.samples import account, session
from support.stub_gateway import StubGateway, event, problem, stream, turn_body

WS = "/v1/workspaces/default"
TURNS = f"POST {WS}/sessions/s1/turns"
END = event(9, "turn.succeeded")


@pytest.fixture(autouse=True)
def a_session(stub: StubGateway) -> None:
    stub.on(f"POST {WS}/sessions", session())
    stub.on(f"GET {WS}/sessions/s1", session(turn_count=1))
    stub.on(f"GET {WS}/sessions/s1/budget", {"account": account(), "path": [account()]})
    stub.on(
        f"GET {WS}/turns/t1",
        turn_body(
            steps=2, tool_calls=1, input_tokens=1200, output_tokens=34, cost_microusd=250_000
        ),
    )


def test_run_shows_text_tools_and_costs(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(
        TURNS,
        stream(
            event(1, "turn.queued"),
            event(2, "tool.started", call="c", name="search", arguments={"q": "a\nb"}),
            event(3, "tool.finished", call="c", name="search", is_error=False, output="2 hits"),
            event(4, "text.delta", text="Hello "),
            event(5, "text.delta", text="there"),
            END,
        ),
    )
    ran = bursar("run", "echo", "hi", "--user", "ann", "--path", "docs", "--limit-usd", "0.50")
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert lines[:3] == ['→ search {"q":"a\\nb"}', "← search: 2 hits", "Hello there"]
    assert lines[3].startswith("1 turn · 2 steps · 1 tool call · 1,234 tokens · $0.25 · ")
    assert "$0.50 of $1.00" in lines[3]
    assert stub.seen[0].body == {
        "agent": "echo", "user": "ann", "workspace_path": "docs", "limit_microusd": 500_000,
    }  # fmt: skip
    assert stub.asked(TURNS)[0].body == {"input": "hi"}


def test_run_json_prints_one_event_a_line_and_nothing_else(
    bursar: Bursar, stub: StubGateway
) -> None:
    stub.on(TURNS, stream(event(1, "turn.queued"), event(2, "text.delta", text="Hi"), END))
    ran = bursar("run", "echo", "hi", "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [one["kind"] for one in events] == ["turn.queued", "text.delta", "turn.succeeded"]
    assert (events[1]["id"], events[1]["text"], events[1]["turn"]) == ("7-2", "Hi", "t1")


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_run_fails_with_the_reason_of_the_turn(
    bursar: Bursar, stub: StubGateway, flags: list[str]
) -> None:
    stub.on(TURNS, stream(event(1, "turn.queued"), event(2, "turn.failed")))
    ended = turn_body("failed", code="model_error", reason="the provider is away")
    stub.replace(f"GET {WS}/turns/t1", ended)
    ran = bursar("run", "echo", "hi", *flags)
    assert ran.status == 1
    assert ran.err == "bursar: the turn failed: model_error: the provider is away\n"


def test_escape_sequences_of_a_model_do_not_reach_the_terminal(
    bursar: Bursar, stub: StubGateway
) -> None:
    stub.on(
        TURNS, stream(event(1, "text.delta", text="a\x1b]0;owned\x07b\x9bc [bold]d[/bold]"), END)
    )
    ran = bursar("run", "echo", "hi")
    assert "\x1b" not in ran.out
    assert "\x9b" not in ran.out
    assert "[bold]d[/bold]" in ran.out


def test_an_abandoned_attempt_is_announced_before_the_next_one(
    bursar: Bursar, stub: StubGateway
) -> None:
    stub.on(
        TURNS,
        stream(
            event(1, "text.delta", text="wro"),
            event(2, "step.abandoned", reason="overloaded"),
            event(3, "text.delta", text="right"),
            END,
        ),
    )
    wrong, notice, right, *_ = bursar("run", "echo", "hi").out.splitlines()
    assert (wrong, right) == ("wro", "right")
    assert "overloaded" in notice


def test_run_reads_a_dash_from_stdin(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))
    stub.on(TURNS, stream(event(1, "turn.queued"), END))
    assert bursar("run", "echo", "-").status == 0
    assert stub.asked(TURNS)[0].body == {"input": "from a pipe"}


def test_run_goes_on_in_a_session_only_with_its_own_agent(
    bursar: Bursar, stub: StubGateway
) -> None:
    stub.on(TURNS, stream(event(1, "turn.queued"), END))
    assert bursar("run", "echo", "hi", "--session", "s1").status == 0
    assert stub.asked(f"POST {WS}/sessions") == []
    wrong = bursar("run", "reader", "hi", "--session", "s1")
    assert (wrong.status, "echo" in wrong.err) == (2, True)
    both = bursar("run", "echo", "hi", "--session", "s1", "--user", "ann")
    assert (both.status, "--user" in both.err) == (2, True)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_run_says_what_its_input_does_beside_a_turn(
    bursar: Bursar, stub: StubGateway, flags: list[str]
) -> None:
    """A turn that was joined is shown from there on, so its first event may be any."""
    stub.on(TURNS, stream(event(7, "text.delta", text="both"), END))
    ran = bursar("run", "echo", "and me", "--session", "s1", "--if-busy", "inject", *flags)
    assert ran.status == 0
    assert "both" in ran.out.splitlines()[0]
    assert stub.asked(TURNS)[0].body == {"input": "and me", "if_busy": "inject"}


def test_run_knows_the_words_and_sends_no_other(bursar: Bursar, stub: StubGateway) -> None:
    ran = bursar("run", "echo", "hi", "--if-busy", "maybe")
    assert ran.status == 2
    for word in ("--if-busy", "enqueue", "reject", "interrupt", "inject"):
        assert word in ran.err
    assert stub.seen == []


def test_run_in_a_busy_session_is_refused_in_one_line(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(TURNS, problem(409, "session_busy", "a turn is queued, running or waiting"))
    ran = bursar("run", "echo", "hi", "--session", "s1", "--if-busy", "reject")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "bursar: a turn is queued, running or waiting\n"


@pytest.mark.parametrize("amount", ["-1", "abc", "0.0000001", "nan"])
def test_an_amount_that_is_none_is_refused_by_name(bursar: Bursar, amount: str) -> None:
    ran = bursar("run", "echo", "hi", f"--limit-usd={amount}")
    assert (ran.status, "--limit-usd" in ran.err) == (2, True)


def test_run_caps_turns_and_tokens_of_a_new_session(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(TURNS, stream(event(1, "turn.queued"), END))
    ran = bursar("run", "echo", "hi", "--per-turn-usd", "0.25", "--token-limit", "5000")
    assert ran.status == 0
    assert stub.seen[0].body == {
        "agent": "echo", "per_turn_microusd": 250_000, "token_limit": 5000,
    }  # fmt: skip
    for option in ("--per-turn-usd", "--token-limit"):
        old = bursar("run", "echo", "hi", "--session", "s1", option, "1")
        assert (old.status, option in old.err) == (2, True)
    bad = bursar("run", "echo", "hi", "--token-limit", "many")
    assert (bad.status, "--token-limit" in bad.err) == (2, True)


def test_chat_takes_lines_until_the_end_of_input_and_survives_a_failed_turn(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\n\ntwo\n"))
    stub.on(TURNS, stream(event(1, "text.delta", text="first"), event(2, "turn.failed")))
    stub.on(TURNS, stream(event(3, "text.delta", text="second"), END))
    stub.replace(f"GET {WS}/turns/t1", turn_body("failed", code="x"), turn_body())
    ran = bursar("chat", "echo")
    assert ran.status == 0
    assert [seen.body["input"] for seen in stub.asked(TURNS)] == ["one", "two"]
    assert "the turn failed" in ran.err
    lines = ran.out.splitlines()
    assert {"first", "second"} <= set(lines)
    assert lines[-1].endswith("bursar chat echo --session s1")
