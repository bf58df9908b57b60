"""What the gate is asked and what it answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from bursar.gate.boundary import Boundary
from bursar.gate.grants import Outside
from bursar.gate.patterns import Action
from bursar.gate.policy import Effect, Policy, Risk, Rules
from bursar.gate.snapshot import NOTHING_GRANTED, Snapshot

__all__ = ["APPROVED", "GRANTED", "GateRequest", "Proof", "Stage", "Use", "Verdict"]

Proof = Literal["policy", "hook", "capability", "allowance", "approval", "system"]

GRANTED: frozenset[Proof] = frozenset({"capability", "allowance", "approval"})
"""What answers an ``ask``: a standing grant, or a person's answer about this very call."""
APPROVED: frozenset[Proof] = frozenset({"approval"})
"""The same of a call that each time wants a person."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a call uses up when it starts, as the script that starts it takes it.

    ``root`` is the session that an allowance is kept with; empty for the workspace's own.
    """

    kind: Literal["none", "allowance", "capability", "approval"] = "none"
    id: str = ""
    parts: tuple[str | int, ...] = ()
    root: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """One tool call that wants to run. ``arguments`` are parsed and valid for the tool."""

    workspace: str
    session: str
    agent: str
    tool: str
    action: str
    effect: Effect
    root: str = ""
    call: str = ""
    """Id of the call, in words that tell it from all others of the workspace."""
    risk: Risk = "low"
    arguments: dict[str, Any] = field(default_factory=dict)
    manifest: str = ""
    """Hash of the tool; grants that were made for another form of it do not count."""
    suspect: str = ""
    """Why a person has to look at the call, whatever the rules say."""
    policy: Rules = field(default_factory=Policy)
    boundary: Boundary | None = None
    """Around the session's folder; without one, paths are judged by the policy alone."""
    granted: Snapshot = NOTHING_GRANTED
    outside: tuple[Outside, ...] = ()
    """Places outside of the session's folder that the call wants to reach; the gate finds them."""
    targets: tuple[Action, ...] = ()
    """The action, and the same on what its path leads to through symlinks; the gate finds them."""
    hook: "Verdict | None" = None
    """What the agent's pre-tool hooks said."""
    approved: "Verdict | None" = None
    """What people answered about this very call."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``proof`` is what the decision rests on, as the audit names it; ``reason`` is for people."""

    decision: Literal["allow", "deny", "ask"]
    stage: str
    proof: Proof
    reason: str
    proof_id: str = ""
    """Which rule, allowance, capability or approval it was."""
    answered_by: frozenset[Proof] = GRANTED
    """Of an ``ask``: proofs of a later stage that settle it."""
    outside: tuple[Outside, ...] = ()
    """Places outside of the session's folder that the call wants to reach, or may."""
    use: Use = Use()
    remedy: str = ""
    """What the operator can do about it, when that is not a matter of the policy."""


Stage = Callable[[GateRequest, Action], Awaitable[Verdict | None]]
