"""A question on the screen: all of the call, and nothing in it that hides or pretends."""

import io
import json
import sys
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from bursar.cli.arguments import hides_something
from bursar.cli.changes import change_of, text_now
from bursar.cli.question import Background, ended_as, one_line, print_question
from bursar.client import ApprovalView
from bursar.gate.canonical import canonical
from bursar.gate.grants import volume_of
from support.samples import approval

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\x9b31m\r\n│ approved\u202e\u2066\u200b\u00a0"
    "[bold]b[/bold][link=x]:smile:"
)


def view(arguments: dict[str, Any] | None = None, **members: Any) -> ApprovalView:
    if arguments is not None:
        members["arguments"] = canonical(json.dumps(arguments)).text
    return msgspec.convert(approval(**members), ApprovalView)


def printed(
    question: ApprovalView, text: str | None = None, *, full: bool = False, width: int = 100
) -> str:
    """What reaches a terminal."""
    out = Console(
        file=io.StringIO(), force_terminal=True, color_system=None, width=width, emoji=False
    )
    print_question(question, Background({"s1": "writer"}, "", text), out, full=full)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_the_whole_call_is_there() -> None:
    shown = printed(
        view(
            {"to": "bob", "n": [1, True, "1"]},
            server="mail", tool="send_letter", action="tool://mail/send_letter", risk="high",
            chain=["s0", "s1"], asked_of="write to bob", cost_microusd=2000, asked_again=2,
        )
    )  # fmt: skip
    for part in (
        "apr_1", "high risk", "writer wants mail/send_letter", "default for tools with effects",
        "send_letter of mail, at_most_once", "tool://mail/send_letter", "s0 → writer s1",
        "write to bob", "$0.002", "ab" * 32, 'to  "bob"', 'n  [1, true, "1"]', "2 times more",
        "it waits on",
    ):  # fmt: skip
        assert part in shown


@pytest.mark.parametrize(
    "member",
    ["agent", "tool", "server", "action", "reason", "asked_of", "user", "note", "why"],
)
def test_no_text_of_others_steers_the_terminal_or_is_taken_for_markup(member: str) -> None:
    question = view({"a": HOSTILE, HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]}, **{member: HOSTILE})
    for shown in (printed(question), one_line(question), ended_as(question)):
        assert not any(
            unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"} for char in shown if char != "\n"
        )
        assert "\u00a0" not in shown
    assert "[bold]b[/bold][link=x]:smile:" in printed(question)
    assert "invisible or steer a terminal" in printed(question)


def test_no_code_point_of_an_argument_reaches_the_screen_that_hides() -> None:
    text = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    hidden = [c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Co", "Cn"}]
    for start in range(0, len(hidden), 200):
        piece = "".join(hidden[start : start + 200])
        if start < 2000:  # the rest is one big block without an assigned character
            shown = printed(view({"a": piece, "b": f"{piece}\nx"}), full=True)
            assert not set(piece) - {"\n"} & set(shown)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_text_cannot_look_like_a_line_of_ours(width: int) -> None:
    """However a line is broken, what is not ours stands behind a bar or a margin."""
    fake = "apr_1: approved by key:ann"
    padded = " " * (width * 2 - 5) + fake
    shown = printed(
        view(
            {"a": padded, "b": f"one\n{fake}\n{padded}", "c": {"x": [fake] * 20}},
            asked_of=f"x\n{fake}", reason=padded,
        ),
        width=width,
    )  # fmt: skip
    lines = shown.splitlines()
    assert not [line for line in lines if line.startswith(("apr_1: ", fake))]
    margin = " " * 13
    for line in lines[1:]:
        assert line.startswith(("│ ", "  ", "! "))
        assert not line.startswith("  a") or line.startswith(margin) or line[2:].split()[0] in {
            "asked", "answer", "action", "arguments",
        }  # fmt: skip


def test_long_arguments_are_folded_with_their_size_and_hash_and_shown_when_wanted() -> None:
    lines = [f"line {number}" for number in range(500)]
    question = view({"text": "\n".join(lines), "flat": "x" * 5000})
    folded = printed(question)
    assert "line 0" in folded
    assert "line 499" in folded
    assert "line 250" not in folded
    assert "470 more lines, sha256 " in folded
    assert "5002 characters, sha256 " in folded
    whole = printed(question, full=True)
    assert all(f"  {line}" in whole for line in lines)
    assert whole.count("x") >= 5000
    other = view({"text": "\n".join([*lines[:250], "other", *lines[251:]])})
    assert printed(other) != printed(view({"text": "\n".join(lines)}))


def test_deep_json_is_shown_in_one_line_rather_than_not_at_all() -> None:
    deep = "[" * 5000 + "]" * 5000
    shown = printed(msgspec.structs.replace(view(), arguments=f'{{"a":{deep}}}'))
    assert "10006 characters" in shown


@pytest.mark.parametrize(
    ("arguments", "hides"),
    [
        ({"a": "plain é 漢 🙂\n\ttext"}, False),
        ({"a": "back\\slash \\u0000 \\r"}, False),
        ({"a": "cr\r"}, True),
        ({"a": "\x1b"}, True),
        ({"a": "\u202e"}, True),
        ({"\u200b": 1}, True),
    ],
    ids=ascii,
)
def test_what_hides_something_is_said_to(arguments: dict[str, Any], hides: bool) -> None:
    assert hides_something(canonical(json.dumps(arguments)).text) == hides


# -- changes of files


def write(path: str = "a/b.md", content: str = "one\ntwo\n", **members: Any) -> ApprovalView:
    action = f"file+write://{path}"
    return view({"path": path, "content": content}, tool="write_file", action=action, **members)


def edit(old: str, new: str, *, everywhere: bool = False) -> ApprovalView:
    arguments = {"path": "a.md", "old": old, "new": new, "all": everywhere}
    return view(arguments, tool="edit_file", action="file+write://a.md")


def test_a_written_file_is_a_diff_to_what_is_there() -> None:
    shown = printed(write(content="one\nTWO\nthree\n"), "one\ntwo\nthree\n")
    wanted = ["│ a/b.md", "│ @@ -1,3 +1,3 @@", "│  one", "│ -two", "│ +TWO", "│  three"]
    assert shown.splitlines()[-6:] == wanted


def test_a_written_file_is_its_whole_text_where_nothing_is_known_of_it() -> None:
    *_, note, head, one, two = printed(write()).splitlines()
    assert "not known here" in note
    assert (head, one, two) == ("│ @@ -0,0 +1,2 @@", "│ +one", "│ +two")


def test_a_file_that_would_stay_as_it_is_is_said_to() -> None:
    assert "holds this text already" in printed(write(), "one\ntwo\n")


def test_a_missing_line_end_is_seen() -> None:
    lines = printed(write(content="one\ntwo"), "one\ntwo\n").splitlines()
    assert lines[-2:] == ["│ -two", "│ +two (no line end)"]


def test_an_edit_is_shown_where_it_falls() -> None:
    before = "".join(f"line {number}\n" for number in range(1, 4001))
    shown = printed(edit("line 3000\n", "LINE\n"), before).splitlines()[-11:-1]
    assert shown == [
        "│ a.md", "│ @@ -2997,7 +2997,7 @@", "│  line 2997", "│  line 2998", "│  line 2999",
        "│ -line 3000", "│ +LINE", "│  line 3001", "│  line 3002", "│  line 3003",
    ]  # fmt: skip


def test_an_edit_of_an_unknown_file_is_old_to_new() -> None:
    *_, note, _, old, new, everywhere = printed(edit("a\n", "b\n")).splitlines()
    assert "replaces a piece of text where it stands" in note
    assert (old, new, everywhere) == ("│ -a", "│ +b", "│ all  false")
    assert "wherever it stands" in printed(edit("a", "b", everywhere=True))


@pytest.mark.parametrize(("before", "count"), [("none\n", 0), ("a a\n", 2)])
def test_an_edit_that_will_fail_is_said_to(before: str, count: int) -> None:
    assert f"stands in the file {count} times" in printed(
        edit("a", "b"), before.replace("none", "x")
    )


def test_a_deleted_file_is_shown_as_far_as_it_is_known() -> None:
    gone = view({"path": "a.md"}, tool="delete_file", action="file+delete://a.md", risk="high")
    assert "its text is not known here" in printed(gone)
    assert "│ -one" in printed(gone, "one\n").splitlines()


def test_a_hostile_file_is_compared_in_no_time() -> None:
    """Lines that repeat just rarely enough make a comparison quadratic, or worse."""
    ours = "".join(f"{number % 700}\n" for number in range(20_000))
    theirs = "".join(f"{number % 701}\n" for number in range(20_000))
    shown = printed(write(content=theirs), ours)
    assert "lines 701 to 20000 are replaced" in shown
    assert "more lines, sha256" in shown


def test_other_tools_are_no_file_changes() -> None:
    assert change_of(
        view({"path": "a", "content": "x"}, tool="write_file", server="mcp"), None
    ) is (None)
    assert change_of(view({"path": ["a"]}, tool="write_file"), None) is None
    assert change_of(view({"path": "a"}, tool="read_file", action="file+read://a"), None) is None


def test_the_file_is_read_below_the_sessions_folder_and_nowhere_else(tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    (desk / "a").mkdir(parents=True)
    (desk / "a" / "b.md").write_text("there\n")
    (tmp_path / "secret").write_text("secret")
    (desk / "link.md").symlink_to(tmp_path / "secret")
    (desk / "binary").write_bytes(b"\xff\xfe\x00")
    assert text_now(write(), tmp_path, "desk") == "there\n"
    assert text_now(write("new/file.md"), tmp_path, "desk") == ""
    assert text_now(write("link.md"), tmp_path, "desk") is None
    assert text_now(write("binary"), tmp_path, "desk") is None
    assert text_now(write(), tmp_path, "") is None
    assert text_now(write(), tmp_path, "../desk") is None


def test_a_file_outside_is_read_only_if_the_question_is_about_it_on_this_machine(
    tmp_path: Path,
) -> None:
    file = tmp_path / "out.md"
    file.write_text("outside\n")
    place = {"path": str(file), "operation": "write", "volume": volume_of(str(file))}
    asked = write(str(file), outside=[place])
    assert text_now(asked, tmp_path, "desk") == "outside\n"
    elsewhere = write(str(file), outside=[place | {"volume": "0"}])
    assert text_now(elsewhere, tmp_path, "desk") is None
    assert text_now(write(str(file)), tmp_path, "desk") is None


def test_no_argument_of_a_file_tool_is_left_out() -> None:
    odd = view(
        {"path": "./a//b.md", "content": "x", "mode": "0777"}, tool="write_file",
        action="file+write://a/b.md",
    )  # fmt: skip
    shown = printed(odd)
    assert 'path  "./a//b.md"' in shown
    assert 'mode  "0777"' in shown
    assert "all  true" in printed(edit("a", "b", everywhere=True))
    listed = view({"path": ["x", "y"]}, tool="delete_file", action="file+delete://a.md")
    assert 'path  ["x", "y"]' in printed(listed)
