"""What a module offers is what its `__all__` says."""

import ast
from pathlib import Path

import pytest

import bursar
from support.sources import modules, public_definitions, relative, tree_of

FRONT_DOOR = {
    "Agent", "Allow", "Ask", "AsyncClient", "Block", "BursarError", "Client", "ContextRequest",
    "Join",
    "McpServer", "Modify", "Policy", "PostTool", "PreTool", "Price", "SessionEnd", "SessionStart",
    "ToolContext", "ToolFailure", "UserPrompt", "__version__", "hook", "net_action", "tool",
}  # fmt: skip


def declared(path: Path) -> list[str] | None:
    for node in tree_of(path).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def is_empty(path: Path) -> bool:
    """A module of nothing but a docstring has nothing to offer."""
    return all(isinstance(node, ast.Expr) for node in tree_of(path).body)


def is_program(path: Path) -> bool:
    return path.name == "__main__.py"


def test_the_front_door_is_the_documented_one() -> None:
    assert set(bursar.__all__) == FRONT_DOOR
    assert set(dir(bursar)) == FRONT_DOOR


@pytest.mark.parametrize("name", sorted(FRONT_DOOR))
def test_every_name_of_the_front_door_can_be_fetched(name: str) -> None:
    assert getattr(bursar, name) is not None


def test_other_names_of_the_front_door_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = bursar.Nonsense


def test_every_module_says_what_it_offers() -> None:
    silent = [
        relative(path)
        for path in modules()
        if declared(path) is None and not is_empty(path) and not is_program(path)
    ]
    assert silent == []


def test_all_lists_every_public_definition_and_nothing_that_is_missing() -> None:
    wrong = []
    for path in modules():
        names = declared(path)
        if names is None:
            continue
        forgotten = public_definitions(path) - set(names) - {"__getattr__", "__dir__"}
        if forgotten:
            wrong.append(f"{relative(path)} does not list {sorted(forgotten)}")
        if len(names) != len(set(names)):
            wrong.append(f"{relative(path)} lists a name twice")
    assert wrong == []


def test_private_names_are_not_offered() -> None:
    wrong = [
        f"{relative(path)}: {name}"
        for path in modules()
        for name in declared(path) or []
        if name.startswith("_") and name != "__version__"
    ]
    assert wrong == []
