from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel

from bursar.errors import InvalidInput
from bursar.tools import render_output


@dataclass
class Point:
    x: int


class Shape(BaseModel):
    sides: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (None, "null"),
        (Point(1), '{"x":1}'),
        (Shape(sides=3), '{"sides":3}'),
        (Path("a/b"), '"a/b"'),
        ("bad \udcff name", "bad ? name"),
    ],
)
def test_text_stays_and_everything_else_becomes_json(value: object, text: str) -> None:
    assert render_output(value, 100) == text


def test_long_output_is_cut_by_characters_and_says_so() -> None:
    text = render_output("ä" * 111_234, 30_000)
    assert text == "ä" * 30_000 + "\n… [cut: 81,234 of 111,234 characters left out]"


def test_output_of_just_the_limit_is_not_cut() -> None:
    assert render_output("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize("value", [object(), {"a": object()}])
def test_what_is_no_json_is_refused_with_its_type(value: object) -> None:
    with pytest.raises(InvalidInput, match="object"):
        render_output(value, 100)
