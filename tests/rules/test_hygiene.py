"""No leftovers, no swallowed errors, no traces of where the project was written."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from support.sources import ROOT, modules, relative, tree_of

TEXT = {
    ".py",
    ".lua",
    ".md",
    ".toml",
    ".yaml",
    ".yml",
    ".conf",
    ".acl",
    ".txt",
    ".html",
    ".js",
    ".css",
    ".sh",
    "",
}
SKIPPED = {
    ".git",
    ".venv",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    "__pycache__",
    ".hypothesis",
    "dist",
}
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
FOREIGN = re.compile(
    r"/work/|/tmp/venv|/root/|pypi\.org|files\.pythonhosted|artifactory|nexus|--index-url|--extra-index-url"
)
KEPT_WORD = {"tests/rules/test_hygiene.py"}
"""Files that must spell out what they refuse."""


def project_files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        inside = set(path.relative_to(ROOT).parts)
        if path.is_file() and path.suffix in TEXT and not inside & SKIPPED:
            yield path


def lines(pattern: re.Pattern[str], *suffixes: str) -> list[str]:
    found = []
    for path in project_files():
        if relative(path) in KEPT_WORD or (suffixes and path.suffix not in suffixes):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{relative(path)}:{number} {line.strip()[:100]}")
    return found


def test_nothing_is_left_to_do() -> None:
    assert lines(LEFTOVER, ".py", ".lua", ".sh", ".toml", ".yaml", ".conf") == []


def test_the_project_names_no_foreign_places() -> None:
    assert lines(FOREIGN) == []


def _is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(n, ast.Name) and n.id in {"Exception", "BaseException"} for n in names)


def _does_nothing(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(node, ast.Pass | ast.Continue)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in body
    )


def test_no_error_is_swallowed() -> None:
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler) and _is_broad(node) and _does_nothing(node.body)
    ]
    assert wrong == []


def test_broad_suppression_is_not_used() -> None:
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("suppress")
        and any(ast.unparse(arg) in {"Exception", "BaseException"} for arg in node.args)
    ]
    assert wrong == []


def test_settings_are_not_read_from_the_environment_in_passing() -> None:
    """Only settings, the command line, clients, providers and MCP look at the environment."""
    allowed = (
        "shared/bursar/settings.py",
        "shared/bursar/cli/",
        "shared/bursar/client",
        "worker/bursar_worker/mcp/environment.py",
        "worker/bursar_worker/providers/",
    )
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in modules()
        if not relative(path).startswith(allowed)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}
    ]
    assert wrong == []
