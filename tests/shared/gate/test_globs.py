import re

from hypothesis import given
from hypothesis import strategies as st

from bursar.gate.globs import Glob

pieces = st.lists(st.sampled_from(["a", "b", "/", "?", "*", "x"]), max_size=8).map("".join)
texts = st.text(alphabet="abx/", max_size=12)


def as_regex(glob: str) -> str:
    out = ""
    for char in glob:
        out += {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char))
    return out


@given(pieces.filter(lambda p: "**" not in p), texts)
def test_single_wildcards_agree_with_a_regular_expression(glob: str, text: str) -> None:
    assert Glob(glob).matches(text) == bool(re.fullmatch(as_regex(glob), text))


@given(st.lists(st.sampled_from(["a", "b", "**"]), min_size=1, max_size=5), texts)
def test_two_stars_as_a_component_stand_for_any_number_of_components(
    parts: list[str], text: str
) -> None:
    expected = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            expected += ".*" if last else "(?:.*/)?"
        else:
            expected += part if last else part + "/"
    assert Glob("/".join(parts)).matches(text) == bool(re.fullmatch(expected, text))


@given(st.text(alphabet="a*?\\/", max_size=12))
def test_escaped_text_matches_literally(text: str) -> None:
    assert Glob(Glob.escape(text)).matches(text)
    assert not Glob(Glob.escape(text)).matches(text + "a")
