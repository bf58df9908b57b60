import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar.agents import Agent, load_agents
from bursar.context_provider import ContextRequest
from bursar.errors import InvalidInput
from bursar.gate.policy import Policy
from bursar.testing import ScriptedModel
from bursar.tools import tool


@tool(effect="pure")
def look(place: str) -> str:
    """Look at a place."""
    return place


def who_asks(ctx: ContextRequest) -> str:
    return ctx.user


def test_an_agent_holds_what_it_was_given() -> None:
    agent = Agent(name="a", model="local:echo", tools=[look], subagents=["b"])
    assert [each.name for each in agent.tools] == ["look", "task"]
    assert agent.subagents == ("b",)
    assert agent.tool("look") is look
    assert agent.tool("listen") is None
    assert agent.policy == Policy(allow=["spawn://b"])
    alone = Agent(name="a", model="local:echo", tools=[look])
    assert (alone.tools, alone.policy) == ((look,), Policy())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "a b"}, "agent.name"),
        ({"model": " "}, "agent.model"),
        ({"model": object()}, "agent.model"),
        ({"tools": [look, look]}, "agent.tools[1]"),
        ({"tools": [print]}, "agent.tools[0]"),
        ({"max_steps": 0}, "agent.max_steps"),
        ({"max_output_tokens": -1}, "agent.max_output_tokens"),
        ({"temperature": 3}, "agent.temperature"),
        ({"subagents": "b"}, "agent.subagents"),
        ({"subagents": ["b", "c d"]}, "agent.subagents[1]"),
        ({"context": "who asks"}, "agent.context"),
        ({"context": ContextRequest}, "agent.context"),
        ({"context": lambda: "nothing"}, "agent.context"),
        ({"context": lambda one, other: "two"}, "agent.context"),
    ],
)
def test_a_wrong_agent_names_the_field(changes: dict[str, Any], field: str) -> None:
    base: dict[str, Any] = {"name": "a", "model": "local:echo"}
    with pytest.raises(InvalidInput) as caught:
        Agent(**base | changes)
    assert caught.value.field == field


def test_a_model_object_has_a_name_too() -> None:
    assert Agent(name="a", model=ScriptedModel([], name="mine")).model_name == "mine"


def test_the_manifest_hash_changes_with_the_behaviour() -> None:
    base: dict[str, Any] = {"name": "a", "model": "local:echo", "tools": [look]}
    variants: list[dict[str, Any]] = [
        {},
        {"name": "b"},
        {"model": "local:reader"},
        {"instructions": "x"},
        {"tools": []},
        {"policy": Policy(allow=["look"])},
        {"max_steps": 3},
        {"subagents": ["b"]},
        {"context": who_asks},
    ]
    hashes = [Agent(**base | variant).manifest_hash for variant in variants]
    assert len(set(hashes)) == len(variants)
    assert Agent(**base).manifest_hash == hashes[0]


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path; what was imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


AGENT = "from bursar.agents import Agent\n"


def test_load_agents_collects_all_modules(modules: Path) -> None:
    (modules / "agents_one.py").write_text(AGENT + 'x = Agent(name="x", model="local:echo")\n')
    (modules / "agents_two.py").write_text(
        AGENT + 'from agents_one import x\ny = Agent(name="y", model="local:echo")\n'
    )
    agents = load_agents("agents_one, agents_two,")
    assert sorted(agents) == ["x", "y"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import nothing_of_this_name\n", ["ModuleNotFoundError", "line 1"]),
        ("x = 1\ny = (\n", ["SyntaxError", "line 2"]),
        ("\n\nraise ValueError('no key')\n", ["ValueError: no key", "line 3"]),
        ("import sys\nsys.exit(3)\n", ["SystemExit", "line 2"]),
        (AGENT + "a = Agent(name='a b', model='m')\n", ["agent.name"]),
        ("x = 1\n", ["holds no Agent"]),
        (
            AGENT + "a = Agent(name='a', model='m')\nb = Agent(name='a', model='m')\n",
            ["two agents are called 'a'"],
        ),
    ],
)
def test_a_broken_module_is_one_clear_error(modules: Path, source: str, says: list[str]) -> None:
    (modules / "agents_broken.py").write_text(source)
    with pytest.raises(InvalidInput) as caught:
        load_agents("agents_broken")
    assert caught.value.field == "agents"
    for text in ["agents_broken", *says]:
        assert text in str(caught.value)


@pytest.mark.parametrize("names", ["", " , ", "no_such_module_here"])
def test_missing_modules_are_refused(names: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_agents(names)
    assert caught.value.field == "agents"
