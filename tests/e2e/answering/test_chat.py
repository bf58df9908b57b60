"""An agent asks in the middle of a chat, on a real gateway with a real worker."""

import json
import re
from pathlib import Path

import pytest

from bursar.cli.supervisor import Installation
from bursar.client import Client, SessionView
from bursar.client.calls import Call
from support.answering import PROMPT, answer, asked, calls, send
from support.terminal import Terminal

STEERING = re.compile(r"\x1b(?!\[[0-9;]*m|\[J|\[\d+A)")


def test_chat_asks_in_place_and_goes_on(chat: Terminal, client: Client) -> None:
    chat.line(send())
    question = chat.expect(PROMPT)
    for part in ("puppet wants send", "low risk", 'to  "bob"'):
        assert part in question
    chat.line("o")
    chat.expect("approved; the call runs now")
    chat.expect("sent '' to bob")
    chat.expect("that is all")
    chat.expect("\n> ")
    chat.press("\x04")
    assert chat.ended() == 0
    assert chat.echoes()
    assert client.list_allowances() == []


@pytest.mark.parametrize("scope", ["session", "tree", "workspace", "always"])
def test_a_scope_lets_the_next_turn_go_without_a_question(
    chat: Terminal, client: Client, session: SessionView, scope: str
) -> None:
    chat.line(send())
    chat.expect(PROMPT)
    chat.line(scope[0])
    chat.expect("tool://local/send needs no answer")
    undo = chat.expect("that is all").split("to take that back: bursar ")[1].split()
    chat.expect("\n> ")
    chat.line(send())
    assert PROMPT not in chat.expect("that is all")
    kind = "capabilities" if scope == "always" else "allowances"
    assert undo[:2] == [kind, "revoke"]
    if scope != "always":
        (made,) = client.list_allowances(session=session)
        assert made.scope == scope


def test_a_denial_tells_the_agent_why(chat: Terminal, client: Client) -> None:
    chat.line(calls(("send", {"to": "bob"}), ("send", {"to": "eve"})))
    first = "bob" if 'to  "bob"' in chat.expect(PROMPT) else "eve"
    chat.line("d not on a Friday")
    answer(chat, 'to  "eve"' if first == "bob" else 'to  "bob"', "d")
    chat.expect("reason, for the agent")
    chat.line("nor then")
    chat.expect("that is all")
    for reason in ("not on a Friday", "nor then"):
        assert f"was denied by a person: {reason}" in chat.screen
    chat.expect("\n> ")


def test_help_and_all_of_a_long_call_are_there_on_demand(chat: Terminal) -> None:
    text = "\n".join(f"line {number}" for number in range(200))
    chat.line(calls(("send", {"to": "bob", "text": text})))
    chat.expect("puppet wants send")
    assert "line 100" not in chat.expect(PROMPT)
    chat.line("?")
    chat.expect("change the arguments")
    chat.expect(PROMPT)
    chat.line("sure")
    chat.expect("change the arguments")
    chat.expect(PROMPT)
    chat.line("f")
    chat.expect("│   line 100\n")
    answer(chat, "│   line 199\n", "d")
    chat.expect("reason")
    chat.line()
    chat.expect("that is all")


def test_arguments_are_edited_in_one_line(chat: Terminal) -> None:
    chat.line(send())
    chat.expect(PROMPT)
    chat.line("e")
    chat.expect('arguments > {"to": "bob"}')
    chat.line('\x15{"to": "eve"')
    chat.expect("expected JSON")
    chat.expect(PROMPT)
    chat.line("e")
    chat.expect('arguments > {"to": "bob"}')
    chat.line('\x15{"to": "eve"}')
    chat.expect('to  "eve"')
    chat.expect("with these arguments? [y/N] > ")
    chat.line("y")
    chat.expect("approved, with other arguments")
    chat.expect("sent '' to eve")


def test_arguments_are_edited_in_the_users_editor(
    env: dict[str, str], session: SessionView, tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\ncp "$1" "$0.seen"\nsed -i s/bob/eve/ "$1"\n')
    editor.chmod(0o755)
    env["EDITOR"] = str(editor)
    with Terminal("chat", "puppet", "--session", session.id, env=env) as chat:
        chat.expect("\n> ")
        chat.line(calls(("send", {"to": "bob", "text": "a\u202eb\x1b[2J é"})))
        chat.expect(PROMPT)
        chat.line("e")
        chat.expect("[y/N] > ")
        chat.line("n")
        chat.expect(PROMPT)
        chat.line("e")
        chat.expect("[y/N] > ")
        chat.line("y")
        chat.expect("to eve")
    seen = (tmp_path / "editor.seen").read_text()
    assert json.loads(seen) == {"text": "a\u202eb\x1b[2J é", "to": "bob"}
    assert "\u202e" not in seen
    assert "é" in seen


def test_somebody_elses_answer_takes_the_prompt_away(
    chat: Terminal, client: Client, site: Installation
) -> None:
    made = client.create_key("colleague", workspaces=(client.routes.workspace,), approver=True)
    chat.line(send())
    chat.expect(PROMPT)
    chat.press("o")  # begun, not finished
    (question,) = asked(client)
    assert not chat.echoes()
    with Client(site.url, made.token, workspace=client.routes.workspace) as colleague:
        colleague.answer_approval(question, "deny", reason="mine")
    chat.expect(f"{question.id}: denied by key:{made.key.id}, just now: mine")
    chat.expect("that is all")
    chat.expect("\n> ")
    chat.line(send("eve"))
    chat.expect(PROMPT)
    chat.line("o")
    chat.expect("sent '' to eve")


def test_an_answer_that_comes_second_says_who_was_first(chat: Terminal, client: Client) -> None:
    chat.line(send())
    chat.expect(PROMPT)
    (question,) = asked(client)
    client.answer_approval(question, "deny", reason="first")
    chat.line("o")
    chat.expect("denied by key:environment")
    chat.expect("that is all")


def test_what_was_typed_before_the_question_is_no_answer_to_it(
    chat: Terminal, client: Client
) -> None:
    chat.press(f"{send()}\ra\rw\ro\r")
    chat.expect(PROMPT)
    assert len(asked(client)) == 1
    assert client.list_allowances() == []
    chat.line("d")
    chat.expect("reason")
    chat.line()
    chat.expect("that is all")


def test_a_paste_answers_one_question_at_most(chat: Terminal, client: Client) -> None:
    chat.line(calls(("send", {"to": "bob"}), ("send", {"to": "eve"})))
    chat.expect(PROMPT)
    chat.press("o\ro\ro\r")
    chat.expect("approved; the call runs now")
    answer(chat, "puppet wants send", "l")
    assert len(asked(client)) == 1
    chat.expect("left open")
    chat.press("\x03")
    chat.expect("was cancelled")


def test_a_critical_call_is_allowed_once_at_most(chat: Terminal) -> None:
    chat.line(calls(("pay", {"to": "bob"})))
    assert "critical risk" in chat.expect(PROMPT)
    chat.line("w")
    chat.expect("critical calls are asked each time")
    chat.expect(PROMPT)
    chat.line("o")
    chat.expect("paid bob")


def test_a_key_that_may_not_answer_is_told_so_and_the_turn_goes_on_when_another_does(
    env: dict[str, str], client: Client
) -> None:
    app = client.create_key("app", workspaces=(client.routes.workspace,))
    env["BURSAR_API_KEY"] = app.token
    with Terminal("chat", "puppet", env=env) as chat:
        chat.expect("\n> ")
        chat.line(send())
        chat.expect(PROMPT)
        chat.line("o")
        chat.expect("this API key may not answer")
        (question,) = asked(client)
        chat.expect(f"bursar approvals answer {question.id}")
        client.answer_approval(question, "approve")
        chat.expect("sent '' to bob")
        chat.expect("that is all")


def test_a_question_of_the_tree_comes_to_whoever_talks_to_its_root(
    chat: Terminal, client: Client, session: SessionView
) -> None:
    path = client.routes._in_workspace("/sessions")
    body = {"agent": "puppet", "parent": session.id, "user": "ann"}
    child = client.send(Call(method="POST", path=path, kind=SessionView, body=body))
    chat.line(send("root"))
    chat.expect(PROMPT)
    client.start_turn(child, send("child"))
    asked(client, 2)
    chat.line("l")
    shown = answer(chat, 'to  "child"', "o")
    unwrapped = " ".join(shown.replace("│", " ").split())
    assert f"puppet {session.id} → puppet {child.id}" in unwrapped
    chat.expect("approved; the call runs now")
    chat.press("\x03")
    chat.expect("was cancelled")


def test_ctrl_c_at_the_prompt_cancels_the_turn(chat: Terminal, client: Client) -> None:
    chat.line(send())
    chat.expect(PROMPT)
    chat.press("\x03")
    chat.expect("cancelling")
    chat.expect("the turn was cancelled")
    chat.expect("\n> ")
    assert client.list_approvals() == []
    chat.press("\x04")
    assert chat.ended() == 0
    assert chat.echoes()


def test_a_command_that_is_terminated_leaves_the_terminal_as_it_was(
    env: dict[str, str], client: Client
) -> None:
    with Terminal("run", "puppet", send(), env=env) as terminal:
        terminal.expect(PROMPT)
        assert not terminal.echoes()
        terminal.terminate()
        assert terminal.ended() == 128 + 15
        assert terminal.echoes()
    assert len(asked(client)) == 1


def test_an_answer_can_be_corrected_while_it_is_typed(chat: Terminal, client: Client) -> None:
    chat.line(send())
    chat.expect(PROMPT)
    chat.press("a\x7f\x1b[D\x1b[3~\x1bOPé\x7fww\x15")
    chat.line("d n\xe4\x7fot")
    chat.expect("was denied by a person: not.")
    assert client.list_allowances() == []


def test_hostile_arguments_steer_no_terminal(chat: Terminal) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\x9b31m\x1bP\u202e\u2066\r│ apr_1: approved\n[red]x[/]:smile:\n"
    content = {"path": "a.md", "content": evil * 3}
    chat.line(calls(("write_file", content), ("send", {"to": evil, "text": f"{evil}"})))
    for _ in range(2):
        answer(chat, "puppet wants ", "o")
    chat.expect("that is all")
    assert not STEERING.search(chat.raw)
    assert not {"\x9b", "\u202e", "\u2066", "\x07"} & set(chat.raw)
    assert "[red]x[/]:smile:" in chat.screen
