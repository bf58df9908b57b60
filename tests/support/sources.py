"""The project's own files, for the tests that read them."""

import ast
from functools import cache
from pathlib import Path

__all__ = ["PACKAGES", "ROOT", "functions", "modules", "public_definitions", "relative", "tree_of"]

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "bursar": ROOT / "shared" / "bursar",
    "bursar_worker": ROOT / "worker" / "bursar_worker",
    "bursar_gateway": ROOT / "gateway" / "bursar_gateway",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(*names: str) -> list[Path]:
    """All modules of the packages named, or of all three."""
    folders = [PACKAGES[name] for name in names or PACKAGES]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def functions(path: Path) -> list[Function]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, kinds)]


def public_definitions(path: Path) -> set[str]:
    """Classes and functions at the top of a module whose names do not start with an underscore.

    Handlers of routes and commands are left out: the router or app that lists them offers them.
    """
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = (node for node in tree_of(path).body if isinstance(node, kinds))
    return {
        node.name
        for node in nodes
        if not node.name.startswith("_")
        and not (node.decorator_list and {"routes", "cli"} & set(path.parts))
    }
