"""Questions answered by ``run``, ``watch`` and ``answer``, on a real gateway with a real worker."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bursar.client import Client, SessionView
from support.answering import PROMPT, answer, asked, bursar, calls, send
from support.terminal import Terminal
from support.waiting import ended, wait_for

# -- run


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_run_without_a_terminal_says_how_to_answer_and_waits(
    env: dict[str, str], client: Client, flags: list[str]
) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "bursar.cli", "run", "puppet", send(), *flags],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        env={**os.environ, **env},
    )  # fmt: skip
    assert running.stderr is not None
    said = running.stderr.readline()
    (question,) = asked(client)
    where = client.routes.workspace
    wanted = f"puppet wants send; to answer: bursar approvals answer {question.id} -w {where}\n"
    assert said == wanted
    assert running.poll() is None
    bursar(["approvals", "answer", question.id, "--approve"], env)
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 0
    if flags:
        kinds = [json.loads(line)["kind"] for line in out.splitlines()]
        assert kinds[-1] == "turn.succeeded"
        assert "approval.resolved" in kinds
    else:
        assert "sent '' to bob" in out


def test_run_at_a_terminal_asks_in_place(env: dict[str, str]) -> None:
    with Terminal("run", "puppet", send(), env=env) as terminal:
        terminal.expect(PROMPT)
        terminal.line("o")
        terminal.expect("sent '' to bob")
        assert terminal.ended() == 0


# -- watch


def test_watch_takes_questions_one_after_the_other(
    env: dict[str, str], client: Client, session: SessionView
) -> None:
    with Terminal("approvals", "watch", env=env) as watch:
        watch.expect("waiting for questions")
        first = client.start_turn(session, send("first")).turn
        watch.expect(PROMPT)
        low, urgent = (
            client.start_turn(client.create_session("puppet"), text).turn
            for text in (send("low"), calls(("pay", {"to": "urgent"})))
        )
        questions = {q.arguments: q for q in asked(client, 3)}
        client.answer_approval(questions['{"to":"first"}'], "deny")
        watch.expect("denied by key:environment")
        answer(watch, 'to  "urgent"', "o")
        answer(watch, 'to  "low"', "l")
        watch.expect("left open")
        wait_for(lambda: ended(client, first) and ended(client, urgent), "ends of two turns")
        assert not ended(client, low)
        watch.press("\x03")
        assert watch.ended() == 130
        assert watch.echoes()


def test_watch_without_a_terminal_prints_a_line_each(env: dict[str, str], client: Client) -> None:
    for flags in ([], ["--json"]):
        watch = subprocess.Popen(
            [sys.executable, "-u", "-m", "bursar.cli", "approvals", "watch", *flags],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env={**os.environ, **env},
        )  # fmt: skip
        assert watch.stdout is not None
        client.start_turn(client.create_session("puppet"), send())
        (question,) = asked(client)
        opened = watch.stdout.readline()
        client.answer_approval(question, "deny", reason="no")
        closed = watch.stdout.readline()
        watch.kill()
        watch.communicate()
        if flags:
            views = [json.loads(line) for line in (opened, closed)]
            assert [view["state"] for view in views] == ["pending", "denied"]
        else:
            assert opened == f"{question.id}  {question.priority}  puppet wants send\n"
            assert closed.startswith(f"{question.id}  denied by key:environment")


# -- answer


def test_an_answer_at_a_terminal_is_confirmed(
    env: dict[str, str], client: Client, session: SessionView
) -> None:
    turn = client.start_turn(session, calls(("write_file", {"path": "x.md", "content": "hi"}))).turn
    (question,) = asked(client)
    argv = ["approvals", "answer", question.id, "--approve"]
    with Terminal(*argv, env=env) as terminal:
        assert "│ +hi" in terminal.expect("Approve it, this call alone? [y/N]: ")
        terminal.line("n")
        assert terminal.ended() == 1
        assert "was left open" in terminal.screen
    assert client.get_approval(question.id).is_open
    with Terminal(*argv, env=env) as terminal:
        terminal.expect("[y/N]: ")
        terminal.line("y")
        assert terminal.ended() == 0
    wait_for(lambda: ended(client, turn), "end of the turn")
    late = bursar(argv, env, status=4)
    assert "by key:environment" in late.err


def test_an_answer_without_a_decision_is_asked_for_at_the_terminal(
    env: dict[str, str], client: Client, session: SessionView
) -> None:
    client.start_turn(session, send())
    (question,) = asked(client)
    for typed, status in (("l", 1), ("s", 0)):
        with Terminal("approvals", "answer", env=env) as terminal:
            terminal.expect(PROMPT)
            terminal.line(typed)
            assert terminal.ended() == status
            assert terminal.echoes()
    assert client.get_approval(question.id).scope == "session"
    client.start_turn(session, calls(("pay", {"to": "bob"})))
    (other,) = asked(client)
    with Terminal("approvals", "answer", other.id, env=env) as terminal:
        terminal.expect(PROMPT)
        client.answer_approval(other, "deny")
        assert terminal.ended() == 4


def test_a_queued_call_that_is_approved_later_comes_as_an_input(
    env: dict[str, str], client: Client, session: SessionView
) -> None:
    turn = client.start_turn(session, calls(("order", {"what": "tea"}))).turn
    (question,) = asked(client)
    ran = bursar(["approvals", "answer", question.id, "--defer"], env)
    assert "deferred: somebody could not decide; it can still be answered" in ran.out
    wait_for(lambda: ended(client, turn), "end of the turn")
    ran = bursar(["approvals", "answer", question.id, "--approve"], env)
    assert "its result comes to the session as an input" in ran.out
    wait_for(
        lambda: any("ordered tea" in str(m) for m in client.list_messages(session)), "the result"
    )


def test_edited_arguments_and_a_pattern_from_the_command_line(
    env: dict[str, str], client: Client, session: SessionView, files: Path
) -> None:
    write: Callable[[str], str] = lambda path: calls(  # noqa: E731
        ("write_file", {"path": path, "content": "model's"})
    )
    turn = client.start_turn(session, write("n/one.md")).turn
    (question,) = asked(client)
    edited = json.dumps({"path": "n/one.md", "content": "person's"})
    bursar(["approvals", "answer", question.id, "--approve", "--arguments", edited], env)
    wait_for(lambda: ended(client, turn), "end of the turn")
    assert (files / "desk" / "n" / "one.md").read_text() == "person's"
    client.start_turn(session, write("n/two.md"))
    (question,) = asked(client)
    allow = ["--allow", "file+write://n/*.md", "--uses", "3", "--for", "1h"]
    ran = bursar(["approvals", "answer", question.id, "--approve", *allow], env)
    assert "file+write://n/*.md needs no answer in the workspace from now on" in ran.out
    turn = client.start_turn(session, write("n/three.md")).turn
    wait_for(lambda: ended(client, turn), "end of the turn")
    assert client.list_approvals() == []
