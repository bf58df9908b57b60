"""One pattern within others: every yes is right, and a no is, too, unless it takes too long."""

import itertools
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bursar.errors import InvalidInput
from bursar.gate import globs
from bursar.gate.globs import Glob
from bursar.gate.inclusion import includes
from bursar.gate.patterns import Action, Pattern

TEXTS = ["".join(chars) for length in range(7) for chars in itertools.product("a/c", repeat=length)]
"""``c`` is a character that no pattern below names."""
EXEC = ["git", "python", "sudo", "env", "x.py", "-c", "*", "**", "?", "p*", "git*", "\\*", "A=1"]


def _glob(text: str) -> Glob | None:
    try:
        return Glob(text)
    except InvalidInput:
        return None


small_globs = (
    st.lists(st.sampled_from(["a", "/", "?", "*", "**"]), max_size=4)
    .map("".join)
    .map(_glob)
    .filter(lambda glob: glob is not None)
)


@settings(max_examples=400)
@given(st.lists(small_globs, min_size=1, max_size=2), small_globs)
@example([Glob("**/a")], Glob("a"))
@example([Glob("*")], Glob("**"))
@example([Glob("a"), Glob("?")], Glob("?"))
@example([Glob("?*"), Glob("/**")], Glob("**?"))
def test_it_agrees_with_trying_all_short_texts(wide: list[Glob], narrow: Glob) -> None:
    matched = [text for text in TEXTS if narrow.matches(text)]
    missed = [text for text in matched if not any(glob.matches(text) for glob in wide)]
    assert globs.includes(wide, narrow) == (not missed), missed[:3]


def test_a_text_only_beyond_the_short_ones_is_found() -> None:
    assert not globs.includes([Glob("*b")], Glob("a" * 20 + "*"))
    assert not globs.includes([Glob("?" * 30)], Glob("*"))
    assert globs.includes([Glob("**/" * 6 + "x")], Glob("a/b/c/x"))


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("file+read://docs/**", "file+read://docs/a/*.md", True),
        ("file+read://docs/*", "file+read://docs/a/*.md", False),
        ("file+read://docs/**", "file+write://docs/a", False),
        ("file://docs/**", "file+read://docs/a", False),
        ("file+read://docs//./**", "file+read://docs/a", True),
        ("tool://mail/*", "tool://mail/send", True),
        ("tool://mail/*", "tool://mail2/send", False),
        ("tool://local/*", "write_report", True),
        ("net://*.example.org:443", "net://API.example.org.:443", True),
        ("net://*.example.org:443", "net://a.b.example.org:443", False),
        ("net://example.org:*", "net://example.org:443", True),
        ("spawn://*", "spawn://reader", True),
        ("custom://jira/**", "custom://jira/close/5", True),
        ("custom://jira/*", "custom://jirb/close", False),
        ("exec://git *", "exec://git status", True),
        ("exec://git *", "exec://git push --force", False),
        ("exec://git **", "exec://git push *", True),
        ("exec://git status", "exec://git status", True),
        ("exec://a\\*", "exec://a\\*", True),
        ("file+read://a*", "file+read://a\\*", True),
        ("exec://a\\*", "exec://a*", False),
    ],
)
def test_patterns_of_each_kind(wide: str, narrow: str, expected: bool) -> None:
    assert includes([Pattern(wide)], Pattern(narrow)) == expected


def test_a_pattern_that_may_not_run_a_program_holds_no_line_of_it() -> None:
    """``exec://**`` permits no interpreter, so a right to one line of it is more."""
    line = Pattern("exec://python x.py")
    assert line.permits(Action.parse("exec://python x.py"))
    assert not includes([Pattern("exec://**")], line)
    assert includes([Pattern("exec://**"), Pattern("exec://python x.py")], line)
    assert includes([Pattern("exec://python x.py **")], Pattern("exec://python x.py *"))


def test_a_pattern_bound_to_a_folder_holds_none_of_another() -> None:
    free, bound, other = (Pattern("file+read://**", root) for root in (None, "/a", "/b"))
    assert includes([free], bound)
    assert includes([bound], bound)
    assert not includes([bound], free)
    assert not includes([bound], other)


def _exec(words: list[str]) -> Pattern | None:
    try:
        return Pattern("exec://" + " ".join(words))
    except InvalidInput:
        return None


exec_patterns = (
    st.lists(st.sampled_from(EXEC), min_size=1, max_size=4)
    .map(_exec)
    .filter(lambda pattern: pattern is not None)
)
LINES = [
    Action("exec", " ".join(words))
    for length in range(1, 4)
    for words in itertools.product(
        ["git", "python", "sudo", "x.py", "-c", "pig", "*", "A=1", "git\tx"], repeat=length
    )
]


@settings(max_examples=300)
@given(st.lists(exec_patterns, min_size=1, max_size=3), exec_patterns)
@example([Pattern("exec://**")], Pattern("exec://python x.py"))
@example([Pattern("exec://p*")], Pattern("exec://python"))
def test_a_yes_about_commands_is_right(wide: list[Pattern], narrow: Pattern) -> None:
    if includes(wide, narrow):
        for line in LINES:
            if narrow.permits(line):
                assert any(pattern.permits(line) for pattern in wide), line.path


def test_what_would_take_too_long_is_a_no() -> None:
    hard = Glob("*a" + "?" * 30)
    begun = time.process_time()
    assert not globs.includes([hard], hard)
    assert not globs.includes([hard] * 20, Glob("**" + "a*" * 400))
    assert time.process_time() - begun < 10  # it would be years
