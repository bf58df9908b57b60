"""Command lines: all that one may be meant as, and programs that run what they are told to."""

import pytest

from bursar.gate.commands import MAX_READINGS, may_run_anything, readings
from bursar.gate.patterns import Action, Pattern, escape

SUDO = Pattern("exec://sudo **")

HIDDEN = [
    "sudo ls", " sudo ls", "\tsudo ls", "sudo\tls", "'sudo' ls", 's"u"do ls', "su\\do ls",
    "/usr/bin/sudo ls", "true; sudo ls", "true && sudo ls", "true || sudo ls", "true | sudo ls",
    "true & sudo ls", "true\nsudo ls", "$(sudo ls)", '"$(sudo ls)"', "`sudo ls`", "(sudo ls)",
    "{ sudo ls; }", "A=1 sudo ls", "A=1 B='2 3' sudo ls", "echo '; sudo ls", 'echo "a`sudo ls`"',
    "if true; then\nsudo ls; fi", "<(sudo ls)",
]  # fmt: skip


@pytest.mark.parametrize("line", HIDDEN)
def test_a_block_holds_however_the_command_is_written(line: str) -> None:
    assert SUDO.covers(Action.parse(f"exec://{line}"))


@pytest.mark.parametrize("line", ["sum a", "sudoku x", "ls sudo", "visudo x", "echo sudo ls"])
def test_a_block_covers_no_other_command(line: str) -> None:
    assert not SUDO.covers(Action.parse(f"exec://{line}"))


@pytest.mark.parametrize(
    "line",
    ["ls; x", "ls && x", "ls || x", "ls | x", "ls $(x)", "ls `x`", "ls\nx", "ls\rx", "ls < x",
     "ls > x", "ls >> x", "ls & x", "ls 2>&1"],
)  # fmt: skip
@pytest.mark.parametrize("pattern", ["exec://**", "exec://ls **"])
def test_a_line_with_shell_syntax_is_never_permitted(pattern: str, line: str) -> None:
    assert not Pattern(pattern).permits(Action.parse(f"exec://{line}"))


@pytest.mark.parametrize(
    "line",
    ["python x.py", "python3.11 -c x", "/usr/bin/python3 x", "'python' -c x", "pyth\\on -c x",
     "bash -c x", "sh x", "node -e x", "perl -e x", "env python x", "xargs rm", "sudo ls",
     "find . -delete", "awk x", "sed e", "ssh host x", "A=1 ls", "$SHELL -c x", "/bin/?ash -c x",
     "{ba,}sh -c x", "python\t-c x", "timeout 5 x", "npx x"],
)  # fmt: skip
def test_a_wildcard_permits_no_program_that_runs_what_stands_there(line: str) -> None:
    action = Action.parse(f"exec://{line}")
    for pattern in ("exec://**", "exec://* **"):
        assert not Pattern(pattern).permits(action), pattern
    # The very line may be permitted: it leaves nothing open.
    assert "\t" in line or Pattern(escape(str(action))).permits(action)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("exec://**", "ls -la"),
        ("exec://git diff **", "git diff --stat a.py"),
        ("exec://python check.py **", "python check.py --fast a"),
        ("exec://python -m pytest **", "python -m pytest -q"),
        ("exec://bash run.sh *", "bash run.sh x"),
    ],
)
def test_a_wildcard_permits_what_is_fixed_by_the_words_before_it(pattern: str, line: str) -> None:
    assert Pattern(pattern).permits(Action.parse(f"exec://{line}"))


@pytest.mark.parametrize(
    "pattern", ["python **", "python -c *", "bash -c **", "python *.py", "env **", "A=1 ls **"]
)
def test_such_a_pattern_is_told_when_it_is_made(pattern: str) -> None:
    assert Pattern(f"exec://{pattern}").is_free
    assert may_run_anything(pattern, pattern.partition(" ")[0])


def test_a_line_of_more_commands_than_anyone_reads_is_covered_by_every_block() -> None:
    line = ";".join(f"a{n}" for n in range(MAX_READINGS))
    assert readings(line) is None
    assert SUDO.covers(Action.parse(f"exec://{line}"))
    assert not Pattern("file://**").covers(Action.parse(f"exec://{line}"))
