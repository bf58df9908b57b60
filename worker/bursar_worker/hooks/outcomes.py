"""What hooks said, checked and put together."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from bursar.gate.requests import Verdict
from bursar.hooks import RESULTS, Allow, Ask, Block, Hook, HookResult, Modify

__all__ = [
    "MAX_TEXT",
    "Blocked",
    "PreToolOutcome",
    "ToolText",
    "decided",
    "reason_of",
    "retold",
    "what_is_wrong",
]

MAX_TEXT = 1024 * 1024
"""Of what a hook puts in the place of arguments, an output or an input."""
_MAX_REASON = 1000
_MODIFIED = {
    "pre_tool": "arguments",
    "post_tool": "output",
    "tool_error": "output",
    "user_prompt": "input",
}


@dataclass(frozen=True)
class Blocked:
    """A hook stopped it. ``reason`` names the hook, too."""

    hook: str
    reason: str


@dataclass(frozen=True)
class PreToolOutcome:
    """A call as it is to run, and what the hooks decided about it, if they did.

    ``changed_by`` are the hooks that gave it other arguments.
    """

    arguments_json: str
    arguments: dict[str, Any]
    decision: Literal["", "block", "ask", "allow"] = ""
    hook: str = ""
    reason: str = ""
    changed_by: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        """For the gate, which asks the policy and people as far as this leaves it to them."""
        if self.decision == "":
            return None
        decision: dict[str, Literal["deny", "ask", "allow"]] = {
            "block": "deny", "ask": "ask", "allow": "allow",
        }  # fmt: skip
        remedy = f"The hook `{self.hook}` decides that." if self.decision == "block" else ""
        return Verdict(
            decision[self.decision], "pre_hook", "hook", self.reason, self.hook, remedy=remedy
        )


@dataclass(frozen=True)
class ToolText:
    """What the model reads of a call."""

    output: str
    is_error: bool
    changed_by: tuple[str, ...] = ()


def what_is_wrong(hook: Hook, result: Any) -> str:
    """Why a hook may not return that; empty if it may."""
    if result is None:
        return ""
    if not isinstance(result, RESULTS[hook.event]):
        return f"returned {type(result).__name__}, which {hook.event} does not take"
    if not isinstance(result, Modify):
        return "" if isinstance(result.reason, str) else "gave a reason that is no text"
    wanted = _MODIFIED[hook.event]
    given = [field.name for field in fields(Modify) if getattr(result, field.name) is not None]
    if given != [wanted]:
        return f"returned Modify({', '.join(given)}), expected {wanted} and nothing else"
    value = getattr(result, wanted)
    if wanted == "arguments":
        return "" if isinstance(value, Mapping) else "gave arguments that are no object"
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return f"gave an {wanted} that is no text of at most {MAX_TEXT} characters"
    return "gave an input without any text" if wanted == "input" and not value.strip() else ""


def decided(outcome: PreToolOutcome, hook: Hook, result: HookResult) -> PreToolOutcome:
    """Add what a hook said to what those before it said."""
    if isinstance(result, Block):
        decision: Literal["block", "ask", "allow"] = "block"
    elif isinstance(result, Ask):
        decision = "ask"
    elif isinstance(result, Allow):
        decision = "allow"
    else:
        return outcome
    if decision == outcome.decision or (outcome.decision == "ask" and decision == "allow"):
        return outcome
    told = reason_of(hook, result.reason)
    return replace(outcome, decision=decision, hook=hook.name, reason=told)


def retold(told: ToolText, hook: Hook, result: HookResult) -> ToolText:
    if not isinstance(result, Modify) or result.output is None:
        return told
    return replace(told, output=result.output, changed_by=(*told.changed_by, hook.name))


def reason_of(hook: Hook, reason: str) -> str:
    return f"hook {hook.name}: {reason[:_MAX_REASON]}" if reason else f"hook {hook.name}"
