"""The linear engine against Python's own, and where Python's would not come back."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.errors import InvalidInput
from bursar.linear import LinearPattern

SAMPLES = [
    ("abc", "xabcx"), ("^abc$", "abc"), ("^abc$", "abcd"), ("a.c", "a\tc"), ("a|b|", ""),
    (r"\bfoo\b", "a foo b"), (r"\bfoo\b", "afoo"), (r"\Bo\B", "foot"), (r"\d{2,3}x", "1234x"),
    (r"[^a-z]", "abc"), (r"[]a]", "]"), (r"[\]\-x]", "-"), (r"[a-]", "-"), ("x{,2}y", "xxxy"),
    (r"^(?:a|bc)+?d?$", "abcbc"), (r"(?P<n>é+)\s", "éé "), (r"func\(\) {", "func() {"),
    (r"a{1,b}", "a{1,b}"), (r"\x41\u00e9", "Aé"), (r"\A\w+\Z", "a_1"), ("(a*)*b", "aaab"),
    ("(|a)+b", "b"), ("$^", ""), (r"[\w.]+@[\w.]+", "to: a.b@c.de"), ("((a)|(b))*$", "xx"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "text"), SAMPLES)
def test_it_agrees_with_python(pattern: str, text: str) -> None:
    assert LinearPattern(pattern).search(text) == bool(re.search(pattern, text))


ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", r"\w", r"\b", r"\B", "^", "$", r"\s", " ", r"\d", "1"]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{0,2}", "{2}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=600, deadline=None)
@given(PATTERNS, st.text("ab1 _", min_size=1, max_size=8))
def test_it_agrees_with_python_on_any_pattern(pattern: str, text: str) -> None:
    assert LinearPattern(pattern).search(text) == bool(re.search(pattern, text, re.ASCII))


def test_case_is_ignored_on_demand() -> None:
    assert LinearPattern("StraßE [x-z]", ignore_case=True).search("straße Y")
    assert not LinearPattern("StraßE").search("straße")


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a*)*b", "(a|a)*b", "(.*)*x", "a*a*a*a*a*a*b", "(x+x+)+y", "(a?){50}b"]
)
def test_patterns_that_python_would_not_come_back_from_end(pattern: str) -> None:
    """No time is measured: with an engine that goes back, this ends by the test's timeout."""
    assert LinearPattern(pattern).search("a" * 20_000 + "!") is False


def test_what_is_remembered_is_bounded() -> None:
    pattern = LinearPattern("(a|b)*a(a|b){12}c")
    assert not pattern.search("".join("ab"[i * i % 7 % 2] for i in range(50_000)))
    many = LinearPattern("x.y")
    assert not many.search("".join(map(chr, range(0x4E00, 0x4E00 + 20_500))))
    assert len(many._kept) <= 20_000


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("(a", "a ')' for each '('"),
        ("a)", "no ')'"),
        ("[a", "something after '['"),
        ("a\\", "something after"),
        ("*a", "something to repeat"),
        ("a**", "at a time"),
        ("a*+", "at a time"),
        ("^*", "something to repeat"),
        ("a{3,2}", "in this order"),
        ("a{2000}", "up to 1000"),
        ("(a{999}){999}", "smaller pattern"),
        ("(?=a)", "nothing looks ahead"),
        ("(?<!a)", "nothing looks ahead"),
        (r"(a)\1", "nothing refers back"),
        ("[z-a]", "in this order"),
        (r"\xg1", "hexadecimal"),
        ("(" * 50 + ")" * 50, "inside each other"),
        ("a" * 1001, "at most 1000"),
    ],
)
def test_what_cannot_be_matched_is_refused_with_a_reason(pattern: str, expected: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(expected)) as caught:
        LinearPattern(pattern)
    assert caught.value.field == "pattern"
