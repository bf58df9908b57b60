"""Imports go worker → shared ← gateway, and Redis is spoken to in one place."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sources import PACKAGES, ROOT, modules, relative, tree_of

FORBIDDEN = {
    "bursar": {"bursar_worker", "bursar_gateway"},
    "bursar_worker": {"bursar_gateway"},
    "bursar_gateway": {"bursar_worker"},
}
SPEAK_REDIS = (
    "shared/bursar/store/",
    "shared/bursar/queue.py",
    # These hold a connection of their own: renewals and pokes must not queue behind other
    # commands, a subscription takes its connection for itself, and arq's worker is a Redis client.
    "worker/bursar_worker/heartbeat.py",
    "worker/bursar_worker/control.py",
    "worker/bursar_worker/queue.py",
    "gateway/bursar_gateway/hub.py",
)
KEY_LITERAL = re.compile(r"bursar:\{")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    wrong = [
        f"{relative(path)}:{line} imports {name}"
        for path in modules(package)
        for line, name in imports(path)
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert wrong == []


def test_relative_imports_are_not_used() -> None:
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert wrong == []


def test_only_the_store_and_the_queue_speak_redis() -> None:
    wrong = [
        f"{relative(path)}:{line} imports {name}"
        for path in modules()
        if not relative(path).startswith(SPEAK_REDIS)
        for line, name in imports(path)
        if name.split(".")[0] == "redis" and name != "redis.exceptions"
    ]
    assert wrong == []


def _docstrings(tree: ast.Module) -> set[int]:
    """Ids of the constants that are docstrings: those may show keys as examples."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = set()
    for node in ast.walk(tree):
        for child in getattr(node, "body", []) if isinstance(node, owners) else []:
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                found.add(id(child.value))
    return found


def test_only_keys_py_builds_redis_keys() -> None:
    wrong = []
    for path in modules():
        if relative(path) == "shared/bursar/store/keys.py":
            continue
        tree = tree_of(path)
        skip = _docstrings(tree)
        wrong += [
            f"{relative(path)}:{node.lineno} {node.value!r}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and KEY_LITERAL.search(node.value)
            and id(node) not in skip
        ]
    assert wrong == []


def test_the_front_door_is_light() -> None:
    """`import bursar` loads neither Redis nor a provider nor the web framework."""
    heavy = ["redis", "arq", "litestar", "pydantic", "pydantic_ai", "genai_prices", "httpx", "rich"]
    program = f"import sys, bursar; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "shared")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"
