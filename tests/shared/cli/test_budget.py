"""``bursar budget``: show, questions, deny, set, period, reset."""

import json
import time

import pytest

from support.command import Bursar
from support.samples import account
from support.stub_gateway import StubGateway, problem

WS = "/v1/workspaces/default"
BUDGET = f"{WS}/budget"


def test_the_budget_of_a_session_is_its_whole_path(bursar: Bursar, stub: StubGateway) -> None:
    unlimited = account(account="ws", limit_microusd=None, available_microusd=None)
    own = account(kept_microusd=50_000)
    stub.on(f"GET {WS}/sessions/s1/budget", {"account": own, "path": [unlimited, own]})
    head, ws, mine = bursar("budget", "show", "--session", "s1").out.splitlines()
    assert head.split() == [
        "account", "posted", "pending", "kept", "available", "limit", "used",
    ]  # fmt: skip
    assert ws.split() == ["ws", "$0.25", "$0.25", "$0.00", "unlimited", "unlimited"]
    assert mine.split()[:6] == ["s:s1", "$0.25", "$0.25", "$0.05", "$0.50", "$1.00"]
    assert mine.endswith("█████░░░░░   50 %")


def test_what_is_up_with_an_account_stands_in_its_row(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    frozen = account(
        account="ws", frozen=True, overrun_microusd=250, asked_ms=1, token_limit=5000,
        tokens_posted=1200, tokens_pending=34, period="day", resets_ms=1_007_300_000,
    )  # fmt: skip
    dry = account(asked_ms=1, waiting=12)
    stub.on(f"GET {WS}/sessions/s1/budget", {"account": dry, "path": [frozen, dry]})
    head, ws, own = bursar("budget", "show", "--session", "s1").out.splitlines()
    assert head.split()[-4:] == ["tokens", "waiting", "state", "resets"]
    assert "1,234 of 5,000" in ws
    assert "frozen, $0.00025 over" in ws
    assert ws.endswith("in 2 h, each day")
    assert own.split()[-3:] == ["12", "ran", "dry"]


def test_the_budget_of_a_user(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {BUDGET}", account(account="user:ann"))
    ran = bursar("budget", "show", "--user", "ann", "--json")
    assert json.loads(ran.out)[0]["account"] == "user:ann"
    assert stub.seen[0].query == "user=ann"


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_budget_is_watched_until_ctrl_c(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("bursar.cli.output.time.sleep", sleep)
    stub.on(f"GET {BUDGET}", account(), account(posted_microusd=750_000))
    ran = bursar("budget", "show", "--watch", *flags)
    assert ran.status == 130
    lines = ran.out.splitlines()
    if flags:
        amounts = [json.loads(line)[0]["posted_microusd"] for line in lines]
        assert amounts == [250_000, 750_000, 750_000]
    else:
        assert [line.split()[1] for line in lines[1::2]] == ["$0.25", "$0.75", "$0.75"]


def _question() -> dict[str, object]:
    dry = account(asked_ms=1_000_000_000 - 150_000, waiting=3, available_microusd=100)
    turns = [
        {"session": f"s{n}", "turn": f"t{n}", "needs_microusd": 900 * n, "needs_tokens": 5}
        for n in (1, 2, 3)
    ]
    return {"account": dry, "turns": turns}


def test_questions_say_who_waits_since_when_and_for_how_much(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    stub.on(f"GET {BUDGET}/questions", [_question()])
    head, row = bursar("budget", "questions").out.splitlines()
    assert head.split() == [
        "account", "since", "state", "available", "limit", "needs", "waiting", "turns",
    ]  # fmt: skip
    for part in ("s:s1", "2 min ago", "ran dry", "$0.0001", "$1.00", "$0.0009"):
        assert part in row
    assert row.endswith("3  t1 of s1, t2 of s2 and 1 more")
    printed = json.loads(bursar("budget", "questions", "--json").out)
    assert printed[0]["turns"][2]["needs_microusd"] == 2700


def test_no_questions_is_said(bursar: Bursar, stub: StubGateway) -> None:
    stub.on("GET /v1/workspaces/acme/budget/questions", [])
    assert bursar("budget", "questions", "-w", "acme").out == "no account waits for an answer\n"


def test_a_denial_says_how_many_turns_end(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {BUDGET}/deny", {"turns": 2}, {"turns": 1}, {"turns": 0})
    deny = ["budget", "deny", "s:s1"]
    assert bursar(*deny, "--reason", "good enough").out == "2 turns of s:s1 end\n"
    assert bursar(*deny).out == "1 turn of s:s1 end\n"
    assert json.loads(bursar(*deny, "--json").out) == {"turns": 0}
    assert [seen.body for seen in stub.seen[:2]] == [
        {"account": "s:s1", "reason": "good enough"}, {"account": "s:s1"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "body"),
    [
        (["2.50"], {"limit_microusd": 2_500_000}),
        (["$2.50", "--warn-percent", "0"], {"limit_microusd": 2_500_000, "warn_percent": 0}),
        (["unlimited"], {"limit_microusd": None}),
        (["--per-action-usd", "0.1"], {"per_action_microusd": 100_000}),
        (["--per-turn-usd", "0.5"], {"per_turn_microusd": 500_000}),
        (["--per-turn-usd", "unlimited"], {"per_turn_microusd": None}),
        (["--token-limit", "5000"], {"token_limit": 5000}),
        (["--token-limit", "unlimited"], {"token_limit": None}),
        (["--acknowledge"], {"acknowledge": True}),
        (["3", "--acknowledge"], {"limit_microusd": 3_000_000, "acknowledge": True}),
    ],
)
def test_only_what_is_given_of_a_budget_is_changed(
    bursar: Bursar, stub: StubGateway, argv: list[str], body: dict[str, int | None]
) -> None:
    stub.on(f"PATCH {WS}/sessions/s1/budget", account())
    ran = bursar("budget", "set", *argv, "--session", "s1")
    assert (ran.status, "$1.00" in ran.out) == (0, True)
    assert stub.seen[0].body == body


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["set"], "LIMIT"),
        (["set", "1", "--session", "s1", "--user", "ann"], "--session"),
        (["set", "much"], "LIMIT"),
        (["set", "--token-limit", "-5"], "--token-limit"),
        (["set", "--token-limit", "1.5"], "--token-limit"),
        (["set", "--per-turn-usd", "some"], "--per-turn-usd"),
        (["set", "--warn-percent", "101"], "--warn-percent"),
        (["show", "--session", "s1", "--user", "ann"], "--session"),
        (["reset", "--session", "s1", "--user", "ann"], "--session"),
        (["period", "week"], "PERIOD"),
        (["period", "day", "--first", "soon"], "--first"),
        (["period", "day", "--first", "2026-12-01", "--time-zone", "Mars"], "--time-zone"),
        (["period", "day", "--session", "s1", "--user", "ann"], "--session"),
    ],
)
def test_a_command_that_says_nothing_clear_is_refused_by_name(
    bursar: Bursar, stub: StubGateway, argv: list[str], names: str
) -> None:
    ran = bursar("budget", *argv)
    assert (ran.status, names in ran.err) == (2, True), ran.err
    assert stub.seen == []


def test_a_period_is_set_for_the_workspace_a_user_or_a_session(
    bursar: Bursar, stub: StubGateway
) -> None:
    daily = account(period="day", time_zone="Europe/Berlin", resets_ms=4_000_000_000_000)
    stub.on(f"PUT {BUDGET}/period", daily)
    stub.on(f"PUT {WS}/sessions/s1/budget/period", account())
    ran = bursar("budget", "period", "day", "--user", "ann", "--time-zone", "Europe/Berlin")
    assert ran.out.rstrip().endswith("each day")
    # Midnight is at 22:00 in UTC: it is summer time.
    first = ["--first", "2027-06-01", "--time-zone", "Europe/Berlin"]
    assert bursar("budget", "period", "month", *first).status == 0
    assert bursar("budget", "period", "none", "--session", "s1", "--json").status == 0
    user, workspace, session = stub.seen
    assert (user.query, user.body) == (
        "user=ann", {"period": "day", "time_zone": "Europe/Berlin"},
    )  # fmt: skip
    assert workspace.body == {
        "period": "month", "time_zone": "Europe/Berlin", "resets_ms": 1_811_800_800_000,
    }  # fmt: skip
    assert session.body == {"period": "none"}


def test_a_reset_shows_the_account_as_it_is_now(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {BUDGET}/reset", account(account="ws", posted_microusd=0))
    stub.on(f"POST {WS}/sessions/s1/budget/reset", account(posted_microusd=0))
    assert bursar("budget", "reset").out.splitlines()[1].split()[:2] == ["ws", "$0.00"]
    printed = json.loads(bursar("budget", "reset", "--session", "s1", "--json").out)
    assert printed["posted_microusd"] == 0
    bursar("budget", "reset", "--user", "ann")
    assert stub.seen[2].query == "user=ann"


def test_a_refusal_of_the_gateway_is_one_line(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"PUT {BUDGET}/period", problem(422, "invalid_input", "in the past", field="resets_ms"))
    ran = bursar("budget", "period", "day", "--first", "2020-01-01")
    assert (ran.status, ran.err) == (2, "bursar: resets_ms: in the past\n")
