"""What hooks are given, and what they may return."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bursar.gate.policy import Effect, Risk

__all__ = [
    "RESULTS",
    "Allow",
    "Ask",
    "Block",
    "HookContext",
    "HookEvent",
    "HookResult",
    "Modify",
    "PostTool",
    "PreTool",
    "SessionEnd",
    "SessionStart",
    "ToolFailure",
    "UserPrompt",
]

HookEvent = Literal[
    "pre_tool", "post_tool", "tool_error", "user_prompt", "session_start", "session_end"
]


@dataclass(frozen=True, slots=True)
class Block:
    """Stop here. The model, or whoever gave the input, reads the reason."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Modify:
    """Go on with something else: the one field that the event is about.

    New arguments are checked as those of the model are; all of them are given, not only what is
    new.
    """

    arguments: Mapping[str, Any] | None = None
    output: str | None = None
    input: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Have a person look at this call, whatever the policy allows."""

    reason: str


@dataclass(frozen=True, slots=True)
class Allow:
    """Run this call without asking, where the policy would ask. What it blocks stays blocked."""

    reason: str = ""


HookResult = Block | Modify | Ask | Allow | None

RESULTS: dict[HookEvent, tuple[type[Any], ...]] = {
    "pre_tool": (Block, Modify, Ask, Allow),
    "post_tool": (Block, Modify),
    "tool_error": (Modify,),
    "user_prompt": (Block, Modify),
    "session_start": (Block,),
    "session_end": (),
}
"""What a hook may return besides None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookContext:
    """Whose session it is. ``turn`` is empty and ``step`` 0 where there is none."""

    workspace: str
    session: str
    user: str
    agent: str
    turn: str = ""
    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTool(HookContext):
    """A call before it runs. ``arguments`` are JSON data, a copy of its own for each hook."""

    call_id: str
    tool: str
    server: str
    action: str
    """Such as ``exec://git push``; ``tool://server/name`` if the tool does not say more."""
    effect: Effect
    risk: Risk
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostTool(PreTool):
    """The same call with what the model is going to read."""

    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFailure(PreTool):
    """A call that ran and failed, with the error that the model is going to read."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPrompt(HookContext):
    """An input before the agent sees it."""

    text: str
    custom: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStart(HookContext):
    """A session before its first step; until that is taken, it may come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnd(HookContext):
    """A session after its end; once more, should a worker die meanwhile."""
