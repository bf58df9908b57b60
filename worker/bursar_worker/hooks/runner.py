"""Runs an agent's hooks: in their order, each within its time.

Nothing here speaks to Redis. After a crash a hook may run again for the same call, input or
session.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import msgspec

from bursar.agents import Agent
from bursar.errors import InvalidInput
from bursar.gate.patterns import Action, tool_action
from bursar.hooks import (
    Block,
    Hook,
    HookContext,
    HookEvent,
    HookResult,
    Modify,
    PostTool,
    PreTool,
    SessionEnd,
    SessionStart,
    ToolFailure,
    UserPrompt,
)
from bursar.tools import Tool
from bursar_worker.hooks.outcomes import (
    MAX_TEXT,
    Blocked,
    PreToolOutcome,
    ToolText,
    decided,
    reason_of,
    retold,
    what_is_wrong,
)
from bursar_worker.stopping import asked_to_stop

__all__ = ["HookRunner"]

logger = logging.getLogger(__name__)


class HookRunner:
    """The hooks of one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._hooks: dict[HookEvent, list[Hook]] = {}
        for hook in sorted(agent.hooks, key=lambda hook: hook.priority):
            self._hooks.setdefault(hook.event, []).append(hook)

    def has(self, event: HookEvent) -> bool:
        return event in self._hooks

    def longest_s(self, event: HookEvent) -> float:
        """How long all hooks of an event may take together."""
        return sum(hook.timeout_s for hook in self._hooks.get(event, ()))

    async def pre_tool(
        self, ctx: HookContext, call_id: str, tool: Tool[..., Any], arguments_json: str
    ) -> PreToolOutcome:
        """Ask the hooks about a call. A block ends that; of the others, ask wins over allow.

        Raises:
            InvalidInput: The arguments are wrong as they came, see `Tool.parse`.

        """
        outcome = PreToolOutcome(arguments_json, tool.parse(arguments_json))
        for hook in self._hooks.get("pre_tool", ()):
            call = _call(PreTool, ctx, call_id, tool, outcome)
            if not hook.is_about(*_actions(tool, call.action)):
                continue
            result = await self._ask(hook, call)
            if isinstance(result, Modify):
                changed = self._changed(hook, tool, result, outcome)
                if isinstance(changed, PreToolOutcome):
                    outcome = changed
                    continue
                result = changed
            outcome = decided(outcome, hook, result)
            if outcome.decision == "block":
                break
        return outcome

    async def post_tool(
        self, ctx: HookContext, call_id: str, tool: Tool[..., Any], arguments_json: str, output: str
    ) -> ToolText:
        """Let the hooks see, change or withhold what a call returned. The call has taken effect."""
        told = ToolText(output, is_error=False)
        ran = PreToolOutcome(arguments_json, tool.parse(arguments_json))
        for hook in self._hooks.get("post_tool", ()):
            call = _call(PostTool, ctx, call_id, tool, ran, output=told.output)
            if not hook.is_about(*_actions(tool, call.action)):
                continue
            result = await self._ask(hook, call)
            if isinstance(result, Block):
                text = f"The call ran, but its output is withheld. {reason_of(hook, result.reason)}"
                return ToolText(text, is_error=True, changed_by=(*told.changed_by, hook.name))
            told = retold(told, hook, result)
        return told

    async def tool_error(
        self, ctx: HookContext, call_id: str, tool: Tool[..., Any], arguments_json: str, error: str
    ) -> ToolText:
        """Let the hooks see or change the error of a call that ran and failed."""
        told = ToolText(error, is_error=True)
        ran = PreToolOutcome(arguments_json, tool.parse(arguments_json))
        for hook in self._hooks.get("tool_error", ()):
            call = _call(ToolFailure, ctx, call_id, tool, ran, error=told.output)
            if hook.is_about(*_actions(tool, call.action)):
                told = retold(told, hook, await self._ask(hook, call))
        return told

    async def user_prompt(
        self, ctx: HookContext, text: str, custom: Mapping[str, Any]
    ) -> str | Blocked:
        """Return an input as the agent is to see it."""
        for hook in self._hooks.get("user_prompt", ()):
            given = UserPrompt(**_of(ctx), text=text, custom=dict(custom))
            result = await self._ask(hook, given)
            if isinstance(result, Block):
                return Blocked(hook.name, reason_of(hook, result.reason))
            if isinstance(result, Modify) and result.input is not None:
                text = result.input
        return text

    async def session_start(self, ctx: HookContext) -> Blocked | None:
        for hook in self._hooks.get("session_start", ()):
            result = await self._ask(hook, SessionStart(**_of(ctx)))
            if isinstance(result, Block):
                return Blocked(hook.name, reason_of(hook, result.reason))
        return None

    async def session_end(self, ctx: HookContext) -> None:
        for hook in self._hooks.get("session_end", ()):
            await self._ask(hook, SessionEnd(**_of(ctx)))

    def _changed(
        self, hook: Hook, tool: Tool[..., Any], result: Modify, outcome: PreToolOutcome
    ) -> PreToolOutcome | Block | None:
        """The call with the hook's arguments, which have to fit the tool as a model's do."""
        try:
            text = msgspec.json.encode(result.arguments).decode()
            arguments = tool.parse(text)
        except (InvalidInput, TypeError, ValueError) as error:
            return self._failed(hook, f"gave wrong arguments: {error}")
        if len(text) > MAX_TEXT:
            return self._failed(hook, f"gave arguments of more than {MAX_TEXT} bytes")
        by = (*outcome.changed_by, hook.name)
        if outcome.decision == "allow":
            # That was said about other arguments.
            outcome = replace(outcome, decision="", hook="", reason="")
        return replace(outcome, arguments_json=text, arguments=arguments, changed_by=by)

    async def _ask(self, hook: Hook, context: HookContext) -> HookResult:
        """Run one hook. When it fails, that is a block or nothing, as the hook says."""
        try:
            async with asyncio.timeout(hook.timeout_s):
                result = await hook.run(context)
        except TimeoutError:
            return self._failed(hook, f"did not answer within {hook.timeout_s:g} s")
        except asyncio.CancelledError:
            if asked_to_stop():
                raise
            return self._failed(hook, "lost a task of its own that was cancelled")
        except (Exception, SystemExit) as error:
            # User code; what exactly it raised is for the log, not for a model to read.
            logger.exception("hook %s of agent %s raised", hook.name, self._agent.name)
            return self._failed(hook, f"raised {type(error).__name__}")
        wrong = what_is_wrong(hook, result)
        return self._failed(hook, wrong) if wrong else result

    def _failed(self, hook: Hook, what: str) -> Block | None:
        logger.warning("hook %s of agent %s %s", hook.name, self._agent.name, what)
        return Block(f"the hook itself {what}") if hook.on_error == "block" else None


def _of(ctx: HookContext) -> dict[str, Any]:
    return {field.name: getattr(ctx, field.name) for field in fields(HookContext)}


def _call(
    kind: type[Any],
    ctx: HookContext,
    call_id: str,
    tool: Tool[..., Any],
    outcome: PreToolOutcome,
    **more: str,
) -> Any:
    """What a hook is given of a call; its arguments are a copy."""
    text = outcome.arguments_json
    try:
        action = tool.action(outcome.arguments)
    except InvalidInput:
        # The gate will refuse the call; hooks may look at it all the same.
        action = tool_action(tool.server, tool.name)
    return kind(
        **_of(ctx),
        call_id=call_id,
        tool=tool.name,
        server=tool.server,
        action=action,
        effect=tool.effect,
        risk=tool.risk,
        arguments=msgspec.json.decode(text) if text.strip() else {},
        **more,
    )


def _actions(tool: Tool[..., Any], action: str) -> tuple[Action, ...]:
    """What the patterns of a hook are tried on: which tool it is, and what the call does."""
    own = Action.parse(tool_action(tool.server, tool.name))
    return (own,) if action == str(own) else (own, Action.parse(action))
