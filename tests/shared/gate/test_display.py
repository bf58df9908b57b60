"""Text of models and tools is shown with nothing in it that hides."""

import sys
import unicodedata

import pytest

from bursar.gate.display import readable

HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Co", "Cs", "Cn"}
IGNORABLE = [0x034F, 0x115F, 0x1160, 0x17B4, 0x180B, 0x180F, 0x3164, 0xFE0F, 0xFFA0, 0xE0100]


def test_no_character_that_hides_is_shown_as_itself() -> None:
    """Every code point of the categories that show nothing, steer, or are not assigned."""
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if unicodedata.category(char) in HIDDEN:
            assert char not in readable(f"a{char}b"), hex(code)


@pytest.mark.parametrize("code", IGNORABLE, ids=hex)
def test_characters_without_a_width_are_shown_by_their_code(code: int) -> None:
    shown = readable(f"a{chr(code)}b")
    assert chr(code) not in shown
    assert f"{code:04x}" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rm\u202e txt.exe", "rm\\u202e txt.exe"),
        ("a\x1b[2Kb", "a\\u001b[2Kb"),
        ("safe\u200b/../x", "safe\\u200b/../x"),
        ("tab\tand\nline", "tab\\u0009and\\u000aline"),
        ("plain é 漢 🙂", "plain é 漢 🙂"),
        ("no\u00a0break", "no\\u00a0break"),
    ],
)
def test_what_would_look_like_something_else_is_spelled_out(text: str, shown: str) -> None:
    assert readable(text) == shown


def test_lines_stay_where_they_are_wanted() -> None:
    assert readable("a\n\tb\r", lines=True) == "a\n\tb\\u000d"


def test_long_text_is_folded_in_the_middle_with_its_length_and_hash() -> None:
    text = "begin" + "x" * 5000 + "end"
    shown = readable(text, 100)
    assert shown.startswith("begin")
    assert shown.endswith("end")
    assert "5008 characters, sha256 " in shown
    assert len(shown) < 200
    assert readable(text[:-1] + "D", 100) != shown
