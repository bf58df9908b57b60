"""What a tool call is to be run with: as the model wrote it, as hooks or people changed it."""

from dataclasses import dataclass
from typing import Any

from bursar.events import Span
from bursar.gate.approvals import ApprovalView
from bursar.gate.canonical import Canonical, canonical
from bursar.gate.requests import Use, Verdict
from bursar.messages import ToolCall
from bursar.tools import Tool
from bursar_worker.calls import SENT, OpenCalls
from bursar_worker.hooks import PreToolOutcome
from bursar_worker.intake import hook_context
from bursar_worker.questions import Questions
from bursar_worker.scope import Scope

__all__ = ["Preparation", "WantedCall"]


@dataclass
class WantedCall:
    """What is known of a call on its way."""

    call: ToolCall
    tool: Tool[..., Any]
    canonical: Canonical
    arguments: dict[str, Any]
    question: ApprovalView | None = None
    """The one that was asked about it and is not settled."""
    served: Use | None = None
    """What it rested on when it was sent before a crash."""
    hook: Verdict | None = None
    """What the agent's hooks said."""


class Preparation:
    """One a step."""

    def __init__(self, scope: Scope, span: Span, questions: Questions) -> None:
        self._scope = scope
        self._span = span
        self._questions = questions

    async def of(self, call: ToolCall, tool: Tool[..., Any], calls: OpenCalls) -> WantedCall:
        """Read what the model or an approver wants, and what was answered about it.

        Raises:
            InvalidInput: the arguments are none that the tool takes.

        """
        asked = calls.question(call.id)
        served = calls.served_by(call.id) if calls.states[call.id] == SENT else None
        if served and served.kind == "approval":
            asked = served.id
        question = await self._questions.read(asked) if asked else None
        if question is None:
            return await self._fresh(call, tool, served)
        # As people saw it, or as they changed it; hooks looked at it before they were asked.
        plain = canonical(question.arguments)
        way = WantedCall(call, tool, plain, tool.parse(plain.text), question, served)
        if question.edited and self._scope.hooks.has("pre_tool"):
            said = await self._hooks_about(way)
            way.hook = said.verdict if said.decision == "block" else None
        return way

    async def anew(self, way: WantedCall) -> WantedCall:
        """The same call, with nothing asked about it."""
        return await self._fresh(way.call, way.tool, way.served)

    async def _fresh(self, call: ToolCall, tool: Tool[..., Any], served: Use | None) -> WantedCall:
        """The call as the model asked for it and hooks let it pass; nobody was asked about it."""
        plain = canonical(call.arguments)
        way = WantedCall(call, tool, plain, tool.parse(call.arguments), None, served)
        if self._scope.hooks.has("pre_tool"):
            said = await self._hooks_about(way, call.arguments)
            way.canonical, way.arguments = canonical(said.arguments_json), said.arguments
            way.hook = said.verdict
        return way

    async def _hooks_about(self, way: WantedCall, arguments_json: str = "") -> PreToolOutcome:
        context = hook_context(self._scope, self._span.turn, self._span.step)
        wanted = arguments_json or way.canonical.text
        return await self._scope.hooks.pre_tool(context, way.call.id, way.tool, wanted)
