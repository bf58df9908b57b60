"""The threat table of docs/security.md: each row is shown by tests that are there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sources import ROOT, tree_of

DOCUMENT = ROOT / "docs" / "security.md"
ROW = re.compile(r"^\| (S\d+) \|(.*)\|$", re.MULTILINE)
FILE = re.compile(r"`(tests/[\w/]+\.py)`((?:[:,] `test_\w+`)*)")
NAME = re.compile(r"`(test_\w+)`")
BENCH = re.compile(r"NAME=(\w+)")
THREATS = 26
"""Rows that the table has; who takes one out says so here."""


def rows(text: str) -> dict[str, str]:
    """The rows of the table by their number: the cells behind it."""
    return dict(ROW.findall(text))


def named(row: str) -> Iterator[tuple[str, list[str]]]:
    """Each file that a row names with the tests that it names in it."""
    *_, shown = row.split("|")
    for path, tests in FILE.findall(shown):
        yield path, NAME.findall(tests)


def names_of(path: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree_of(path).body if isinstance(node, kinds)}


def wrong_in(row: str) -> list[str]:
    """What a row promises that is not so."""
    wrong = []
    found = list(named(row))
    for path, tests in found:
        place = ROOT / path
        if not place.is_file():
            wrong.append(path)
            continue
        if not tests:
            wrong.append(f"{path} without a test")
        wrong += [f"{path}::{name}" for name in tests if name not in names_of(place)]
    in_cell = NAME.findall(row.rsplit("|", maxsplit=1)[-1])
    of_files = [name for _, tests in found for name in tests]
    wrong += [f"{name} of no file" for name in in_cell if name not in of_files]
    return wrong if found else [*wrong, "no test"]


def test_every_threat_has_a_row() -> None:
    expected = [f"S{number}" for number in range(1, THREATS + 1)]
    assert list(rows(DOCUMENT.read_text())) == expected


@pytest.mark.parametrize(("number", "row"), rows(DOCUMENT.read_text()).items())
def test_every_row_is_shown_by_tests_that_exist(number: str, row: str) -> None:
    assert [cell.strip() for cell in row.split("|") if not cell.strip()] == [], "an empty cell"
    assert wrong_in(row) == [], number


def test_the_benchmarks_that_it_names_exist() -> None:
    names = BENCH.findall(DOCUMENT.read_text())
    assert names
    for name in names:
        assert (ROOT / "bench" / name / "__main__.py").is_file() or (
            ROOT / "bench" / f"{name}.py"
        ).is_file(), name


@pytest.mark.parametrize(
    ("shown", "what"),
    [
        ("", "no test"),
        ("`tests/rules/test_no_such_file.py`: `test_x`", "tests/rules/test_no_such_file.py"),
        ("`tests/rules/test_security_doc.py`", "tests/rules/test_security_doc.py without a test"),
        (
            "`tests/rules/test_security_doc.py`: `test_every_threat_has_a_row`, `test_nothing`",
            "tests/rules/test_security_doc.py::test_nothing",
        ),
        (
            "`test_alone`; `tests/rules/test_security_doc.py`: `test_every_threat_has_a_row`",
            "test_alone of no file",
        ),
    ],
)
def test_a_planted_fault_is_found(shown: str, what: str) -> None:
    assert wrong_in(f" somebody | something | {shown} ") == [what]
