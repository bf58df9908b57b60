"""Tools as agents have them, made of what a server says and of what its operator thinks of it."""

import functools
import hashlib
from typing import Any

import msgspec

from bursar.clock import monotonic_s
from bursar.context import ToolContext
from bursar.gate.patterns import tool_action
from bursar.gate.policy import RISKS, Effect, Risk
from bursar.mcp import Endpoint, McpServer, ToolRules
from bursar.models import ToolSpec
from bursar.schemas import CONTEXT
from bursar.tools import Tool
from bursar_worker.mcp.cleaning import one_line
from bursar_worker.mcp.connection import Connection
from bursar_worker.mcp.definitions import Definition
from bursar_worker.mcp.failures import McpFailure
from bursar_worker.mcp.results import render

__all__ = ["judge", "make_tool"]

_DESTRUCTIVE: Risk = "high"
_PROGRESS_EVERY_S = 0.2
_MAX_PROGRESS = 500


def make_tool(
    server: McpServer, definition: Definition, *, name: str, suspect: str, connection: Connection
) -> Tool[..., Any]:
    """The tool ``name`` of an agent that has this server."""
    rules = server.overrides.get(definition.name, ToolRules())
    effect, risk = judge(server, definition)
    timeout_s = rules.timeout_s if rules.timeout_s is not None else server.rules.timeout_s
    cost = rules.cost_microusd if rules.cost_microusd is not None else server.rules.cost_microusd
    return Tool(
        name=name,
        description=definition.description,
        function=_Caller(server.name, definition, connection).call,
        effect=effect,
        risk=risk,
        cost_microusd=cost or 0,
        timeout_s=timeout_s,
        # With it the manifest covers all that the server says of the tool, and which server it is.
        version=f"{definition.sha256} {_identity(server.endpoint)}",
        unanswered=rules.unanswered,
        safe_default=rules.safe_default,
        spec=ToolSpec(name, definition.description, definition.parameters),
        _signature=definition.arguments,
        _action=rules.action or tool_action(server.name, definition.name),
        server=server.name,
        suspect=suspect,
    )


@functools.lru_cache(maxsize=256)
def _identity(endpoint: Endpoint) -> str:
    """SHA-256 over where the server is, without the secrets."""
    public = msgspec.json.encode(endpoint.public, order="deterministic")
    return hashlib.sha256(public).hexdigest()


def judge(server: McpServer, definition: Definition) -> tuple[Effect, Risk]:
    """What a repeat of the tool's calls would do, and how dangerous they are.

    What the operator says of the tool counts most, then the defaults for the server. What the
    server says of itself can make that stricter; looser only where the operator trusts it.
    """
    rules = server.overrides.get(definition.name, ToolRules())
    return rules.effect or _effect(server, definition), rules.risk or _risk(server, definition)


def _effect(server: McpServer, definition: Definition) -> Effect:
    effect = server.rules.effect or "at_most_once"
    if server.trust_annotations and server.rules.effect is None:
        if definition.read_only:
            return "pure"
        return "idempotent" if definition.idempotent else effect
    if effect == "pure" and (definition.read_only is False or definition.destructive):
        return "at_most_once"
    if effect == "idempotent" and definition.idempotent is False and not definition.read_only:
        return "at_most_once"
    return effect


def _risk(server: McpServer, definition: Definition) -> Risk:
    risk = server.rules.risk or "medium"
    dangerous = definition.destructive and not definition.read_only
    if dangerous and RISKS.index(risk) < RISKS.index(_DESTRUCTIVE):
        return _DESTRUCTIVE
    return risk


class _Caller:
    """The function of a tool: its arguments go to the server, its result is a text."""

    def __init__(self, server: str, definition: Definition, connection: Connection) -> None:
        self._server = server
        self._definition = definition
        self._connection = connection

    async def call(self, /, **arguments: Any) -> str:
        context: ToolContext = arguments.pop(CONTEXT)
        try:
            result = await self._connection.call(
                self._definition.name,
                arguments,
                sha256=self._definition.sha256,
                on_progress=_Progress(context).show,
            )
        except McpFailure as failure:
            raise McpFailure(f"the MCP server `{self._server}` {failure.message}") from failure
        text = render(result)
        if result.is_error:
            raise McpFailure(text or "the server gave no reason")
        return text


class _Progress:
    """Shows a call's progress to whoever streams the session, a few times a second at most."""

    def __init__(self, context: ToolContext) -> None:
        self._context = context
        self._shown_s = float("-inf")

    async def show(self, progress: float, total: float | None, message: str | None) -> None:
        now_s = monotonic_s()
        if now_s - self._shown_s < _PROGRESS_EVERY_S:
            return
        self._shown_s = now_s
        note: dict[str, Any] = {"progress": progress}
        if total is not None:
            note["total"] = total
        if message:
            note["message"] = one_line(message, _MAX_PROGRESS)
        await self._context.emit(note)
