"""Files and functions stay small enough to be read in one go."""

import subprocess
from pathlib import Path

from support.sources import ROOT, functions, modules, relative

FILE_MAX = 400
FUNCTION_MAX = 70
EXCEPTIONS: set[str] = set()


def own_files(*suffixes: str) -> list[Path]:
    folders = ("shared", "worker", "gateway", "tests", "bench", "examples", "deploy")
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and "__pycache__" not in path.parts
    )


def test_no_file_has_more_than_400_lines() -> None:
    sizes = {
        relative(path): len(path.read_text().splitlines()) for path in own_files(".py", ".lua")
    }
    assert {name: n for name, n in sizes.items() if n > FILE_MAX and name not in EXCEPTIONS} == {}


def test_no_function_has_more_than_70_lines() -> None:
    python = modules() + [path for path in own_files(".py") if path.is_relative_to(ROOT / "tests")]
    wrong = [
        f"{relative(path)}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in python
        for node in functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > FUNCTION_MAX
    ]
    assert wrong == []


def test_tests_are_no_packages() -> None:
    assert sorted((ROOT / "tests").rglob("__init__.py")) == []


def test_the_makefile_knows_its_words() -> None:
    result = subprocess.run(
        ["make", "-n", "help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
