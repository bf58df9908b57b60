"""What the gate is asked and what it answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from bursar.gate.boundary import Boundary
from bursar.gate.patterns import Action
from bursar.gate.policy import Effect, Policy, Risk

__all__ = ["GateRequest", "Stage", "Verdict"]

Proof = Literal["policy", "capability", "allowance", "approval", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """One tool call that wants to run. ``arguments`` are parsed and valid for the tool."""

    workspace: str
    session: str
    agent: str
    tool: str
    action: str
    effect: Effect
    risk: Risk = "low"
    arguments: dict[str, Any] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    boundary: Boundary | None = None
    """Around the session's folder; without one, paths are judged by the policy alone."""
    interactive: bool = False
    """Whether a person follows this session and may be asked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``proof`` is what the decision rests on, as the audit names it; ``reason`` is for people."""

    decision: Literal["allow", "deny", "ask"]
    stage: str
    proof: Proof
    reason: str
    only_a_person: bool = False
    """Of an ``ask``: no rule of a policy answers it."""
    remedy: str = ""
    """What the operator can do about it, when that is not a matter of the policy."""


Stage = Callable[[GateRequest, Action], Awaitable[Verdict | None]]
