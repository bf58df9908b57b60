"""``bursar map``: what is refused before a job is made, and what is said when one stands still."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bursar.cli import mapped
from support.command import Bursar
from support.samples import account
from support.stub_gateway import Answer, StubGateway, reply

WS = "/v1/workspaces/default"
MADE = f"POST {WS}/jobs"
QUESTIONS = f"GET {WS}/budget/questions"


def job(state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "id": "job_1", "workspace": "default", "agent": "echo", "user": "anonymous", "title": "",
        "workspace_path": "", "state": state, "turn": "t1", "total": 2, "waiting": 0, "open": 0,
        "running": 0, "unpaid": 0, "succeeded": 0, "failed": 0, "cost_microusd": 0,
        "held_microusd": 0, "limit_microusd": None, "created_ms": 0, "started_ms": 0,
        "ended_ms": 0, "reason": "",
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "INPUTS: line 2: JSON is malformed"),
        ("[" * 5000 + "]" * 5000, "INPUTS: line 2: "),
        ('{"id": "x"}', "INPUTS: line 2: Object missing required field `input`"),
        ('{"input": "x", "idd": "y"}', "INPUTS: line 2: Object contains unknown field `idd`"),
    ],
)
def test_a_wrong_line_is_named(
    bursar: Bursar, stub: StubGateway, tmp_path: Path, line: str, said: str
) -> None:
    inputs = tmp_path / "in.jsonl"
    inputs.write_text(f'"a"\n{line}\n')
    ran = bursar("map", "echo", str(inputs))
    assert (ran.status, stub.seen) == (2, [])
    assert said in ran.err


def test_only_an_end_of_line_ends_a_line(bursar: Bursar, stub: StubGateway, tmp_path: Path) -> None:
    inputs = tmp_path / "in.jsonl"
    inputs.write_text('"a\u2028b\x85c"\n', encoding="utf-8")
    stub.on(MADE, reply(job(), status=202))
    assert bursar("map", "echo", str(inputs), "--detach").status == 0
    assert stub.asked(MADE)[0].body["inputs"] == ["a\u2028b\x85c"]


@pytest.mark.parametrize("name", ["nowhere/out.jsonl", "."])
def test_results_that_cannot_be_written_are_not_paid_for(
    bursar: Bursar, stub: StubGateway, tmp_path: Path, name: str
) -> None:
    inputs = tmp_path / "in.jsonl"
    inputs.write_text('"a"\n')
    ran = bursar("map", "echo", str(inputs), "--out", str(tmp_path / name))
    assert (ran.status, stub.seen) == (2, [])
    assert ran.err.startswith("bursar: --out: cannot write ")


def test_items_that_wait_for_money_are_told_of_once(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "_EVERY_S", 0.001)
    still = job(open=2)
    ended = job("succeeded", succeeded=2, ended_ms=1)
    stub.on(f"GET {WS}/jobs/job_1", *[still] * 14, ended)
    waits = {"turn": "t", "needs_microusd": 1, "needs_tokens": 0}
    stub.on(
        QUESTIONS,
        [
            {"account": account(account="s:job_1"), "turns": [{"session": "job_1~a", **waits}]},
            {"account": account(account="s:other"), "turns": [{"session": "other~a", **waits}]},
        ],
    )
    result = {
        "index": 0, "state": "succeeded", "output": "a", "cost_microusd": 0, "steps": 1,
        "attempts": 1, "session": "job_1~a",
    }  # fmt: skip
    results = json.dumps(result).encode() + b"\n"
    stub.on(f"GET {WS}/jobs/job_1/results", Answer(results, content_type="application/jsonl"))
    ran = bursar("map", "--job", "job_1")
    assert ran.status == 0, ran.err
    assert [line for line in ran.err.splitlines() if "money" in line] == [
        "items wait for money of s:job_1; to give more: bursar budget set USD --session job_1"
    ]


def test_ctrl_c_cancels_as_soon_as_the_job_is_named(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "_EVERY_S", 0.001)
    stub.on(f"GET {WS}/jobs/job_1", job(), job("cancelled", ended_ms=1))
    stub.on(f"POST {WS}/jobs/job_1/cancel", job())
    stub.on(f"GET {WS}/jobs/job_1/results", Answer(b"", content_type="application/jsonl"))
    printed = Console.print

    def interrupts(self: Console, *words: Any, **more: Any) -> None:
        printed(self, *words, **more)
        if words[0] == "job job_1":
            monkeypatch.setattr(Console, "print", printed)
            raise KeyboardInterrupt

    monkeypatch.setattr(Console, "print", interrupts)
    ran = bursar("map", "--job", "job_1")
    assert ran.status == 1, ran.err
    assert len(stub.asked(f"POST {WS}/jobs/job_1/cancel")) == 1


def test_a_job_that_has_no_money_left_is_seen_in_the_list(
    bursar: Bursar, stub: StubGateway
) -> None:
    jobs = [job(id="job_1", open=2, unpaid=2), job(id="job_2", open=2, unpaid=1, running=1)]
    stub.on(f"GET {WS}/jobs", {"jobs": jobs, "cursor": ""})
    stub.on(f"GET {WS}/jobs/job_1", jobs[0])
    listed = bursar("jobs", "list").out.splitlines()
    assert [("without money" in line) for line in listed if "job_" in line] == [True, False]
    shown = bursar("jobs", "show", "job_1").out
    assert "running, without money" in shown
    assert "2 open, 0 waiting" in shown
    assert "0 at work, 2 without money" in shown
