"""Agents: a model, instructions and tools under a name, and how modules of them are loaded."""

import hashlib
import importlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import msgspec

from bursar.context_provider import ContextProvider, check_provider, home_of
from bursar.errors import InvalidInput
from bursar.gate.policy import Policy
from bursar.hooks import Hook
from bursar.ids import check_id
from bursar.mcp import McpServer
from bursar.models import Model
from bursar.tools import Tool
from bursar.tools.task import task_tool

__all__ = ["Agent", "load_agents"]

_MAX_HOOKS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What a session runs. Checked when it is made, unchangeable afterwards.

    Limits that are None are taken from the worker's settings.

    Raises:
        InvalidInput: ``field`` is the wrong one, such as ``agent.name`` or ``agent.tools[2]``.

    """

    name: str
    model: str | Model
    """A name such as ``anthropic:claude-sonnet-4-5``, or an object with ``stream``."""
    instructions: str = ""
    tools: Sequence[Tool[..., Any]] = ()
    description: str = ""
    """What this agent is good for, as people and other agents read it."""
    policy: Policy = field(default_factory=Policy)
    max_steps: int | None = None
    max_output_tokens: int | None = None
    """Bound of each model call; what the purse can pay for may be less."""
    temperature: float | None = None
    subagents: Sequence[str] = ()
    """Names of agents that this one may give tasks to; it has the tool ``task`` for that."""
    mcp: Sequence[McpServer] = ()
    """MCP servers whose tools it has besides its own."""
    hooks: Sequence[Hook] = ()
    """Functions that look at its calls, inputs and sessions; see `bursar.hooks`."""
    context: ContextProvider | None = None
    """Says once a session what the agent is to know of it beside its instructions."""

    def __post_init__(self) -> None:
        check_id(self.name, "agent.name")
        if isinstance(self.model, str):
            if not self.model.strip():
                raise InvalidInput("expected the name of a model", field="agent.model")
        elif not callable(getattr(self.model, "stream", None)):
            raise InvalidInput("expected a name or an object with `stream`", field="agent.model")
        for name in ("max_steps", "max_output_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput("expected 1 or more", field=f"agent.{name}")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise InvalidInput("expected a number from 0 to 2", field="agent.temperature")
        object.__setattr__(self, "tools", _checked_tools(self.tools))
        object.__setattr__(self, "subagents", _checked_names(self.subagents))
        if self.subagents:
            self._let_spawn()
        object.__setattr__(self, "mcp", _checked_servers(self.mcp))
        object.__setattr__(self, "hooks", _checked_hooks(self.hooks))
        if self.context is not None:
            check_provider(self.context)

    def _let_spawn(self) -> None:
        """Give it the tool for tasks, and leave to use it: who is named may be spawned."""
        if self.tool("task") is None:
            object.__setattr__(self, "tools", (*self.tools, task_tool(self.subagents)))
        spawns = (f"spawn://{name}" for name in self.subagents)
        rules = {**self.policy.to_dict(), "allow": [*self.policy.allow, *spawns]}
        object.__setattr__(self, "policy", Policy.from_dict(rules))

    @property
    def model_name(self) -> str:
        """The model's name; for an object its ``name``, else its class with the module."""
        if isinstance(self.model, str):
            return self.model
        name = getattr(self.model, "name", None)
        kind = type(self.model)
        return name if isinstance(name, str) else f"{kind.__module__}.{kind.__qualname__}"

    def tool(self, name: str) -> Tool[..., Any] | None:
        return next((tool for tool in self.tools if tool.name == name), None)

    @property
    def hook_names(self) -> dict[str, list[str]]:
        """Names of its hooks by their event, as workers announce them."""
        found: dict[str, list[str]] = {}
        for hook in self.hooks:
            found.setdefault(hook.event, []).append(hook.name)
        return found

    @property
    def manifest_hash(self) -> str:
        """SHA-256 over everything that makes the agent behave as it does."""
        manifest = {
            "name": self.name,
            "model": self.model_name,
            "instructions": self.instructions,
            "description": self.description,
            "tools": [(tool.manifest_hash, tool.description) for tool in self.tools],
            "policy": self.policy.to_dict(),
            "limits": [self.max_steps, self.max_output_tokens, self.temperature],
            "subagents": list(self.subagents),
            "mcp": [server.manifest_hash for server in self.mcp],
            "hooks": [hook.manifest() for hook in self.hooks],
            "context": self.context and home_of(self.context),
        }
        return hashlib.sha256(msgspec.json.encode(manifest, order="deterministic")).hexdigest()


def load_agents(modules: str) -> dict[str, Agent]:
    """Import modules, separated by commas, and return every `Agent` at their top level by name.

    Raises:
        InvalidInput: A module cannot be imported, holds no agent, or two agents share a name.
            The message has the module, the cause and the line.

    """
    names = [name.strip() for name in modules.split(",") if name.strip()]
    if not names:
        raise InvalidInput("expected modules, separated by commas", field="agents")
    agents: dict[str, Agent] = {}
    homes: dict[str, str] = {}
    for module_name in names:
        found = [v for v in vars(_import(module_name)).values() if isinstance(v, Agent)]
        if not found:
            raise InvalidInput(f"module {module_name} holds no Agent", field="agents")
        for agent in found:
            if agents.setdefault(agent.name, agent) is not agent:
                raise InvalidInput(
                    f"two agents are called {agent.name!r}, in {homes[agent.name]} "
                    f"and in {module_name}",
                    field="agents",
                )
            homes.setdefault(agent.name, module_name)
    return agents


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    # A module may fail with anything, even leave by sys.exit, and each has to name the module.
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}"
        raise InvalidInput(
            f"module {name} cannot be loaded: {cause}{_place(error)}", field="agents"
        ) from error


def _place(error: BaseException) -> str:
    """Return where an import failed, or nothing when the module itself was not found."""
    if isinstance(error, SyntaxError):
        return ""  # its text ends with file and line already
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename != __file__
    ]
    inside = [frame for frame in frames if "importlib" not in frame.filename]
    return f" ({inside[-1].filename}, line {inside[-1].lineno})" if inside else ""


def _checked_tools(tools: Sequence[Any]) -> tuple[Tool[..., Any], ...]:
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        place = f"agent.tools[{index}]"
        if not isinstance(tool, Tool):
            what = getattr(tool, "__name__", None) or type(tool).__name__
            raise InvalidInput(f"{what} is no tool, put @tool above it", field=place)
        if tool.name in seen:
            raise InvalidInput(f"a second tool called {tool.name!r}", field=place)
        seen.add(tool.name)
    return tuple(tools)


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise InvalidInput("expected a list of names", field="agent.subagents")
    return tuple(check_id(name, f"agent.subagents[{i}]") for i, name in enumerate(names))


def _checked_servers(servers: Sequence[Any]) -> tuple[McpServer, ...]:
    seen: set[str] = set()
    for index, server in enumerate(servers):
        place = f"agent.mcp[{index}]"
        if not isinstance(server, McpServer):
            raise InvalidInput("expected McpServer.stdio(…) or McpServer.http(…)", field=place)
        if server.name in seen:
            raise InvalidInput(f"a second server called {server.name!r}", field=place)
        seen.add(server.name)
    return tuple(servers)


def _checked_hooks(hooks: Sequence[Any]) -> tuple[Hook, ...]:
    seen: set[tuple[str, str]] = set()
    if len(hooks) > _MAX_HOOKS:
        raise InvalidInput(f"expected at most {_MAX_HOOKS} hooks", field="agent.hooks")
    for index, hook in enumerate(hooks):
        place = f"agent.hooks[{index}]"
        if not isinstance(hook, Hook):
            what = getattr(hook, "__name__", None) or type(hook).__name__
            raise InvalidInput(f"{what} is no hook, put @hook(…) above it", field=place)
        if (hook.event, hook.name) in seen:
            raise InvalidInput(f"a second {hook.event} hook called {hook.name!r}", field=place)
        seen.add((hook.event, hook.name))
    return tuple(hooks)
