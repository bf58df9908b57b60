"""Every failpoint stands in the source, where its description says, and no other does."""

import ast
from collections import defaultdict
from pathlib import Path

from bursar.failpoints import POINTS
from support.sources import PACKAGES, modules, relative, tree_of

PLACES = {"gateway": ("bursar", "bursar_gateway"), "worker": ("bursar_worker",)}
"""Packages by the process that the descriptions begin with; gateways put inputs in `bursar`."""


def uses() -> dict[str, list[Path]]:
    """Modules by the failpoints in them."""
    found = defaultdict(list)
    for path in modules():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "failpoint":
                (name,) = node.args
                assert isinstance(name, ast.Constant), f"{relative(path)}:{node.lineno}"
                found[str(name.value)].append(path)
    return found


def test_every_failpoint_is_used_and_no_other() -> None:
    assert set(uses()) == set(POINTS)


def test_every_failpoint_stands_in_one_place() -> None:
    assert {name: len(paths) for name, paths in uses().items() if len(paths) > 1} == {}


def test_every_failpoint_is_of_the_process_that_it_names() -> None:
    wrong = [
        f"{name} in {relative(path)}"
        for name, paths in uses().items()
        for path in paths
        if not any(
            path.is_relative_to(PACKAGES[package])
            for package in PLACES[POINTS[name].partition(",")[0]]
        )
    ]
    assert wrong == []
