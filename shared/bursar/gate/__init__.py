"""Whether a tool call may run: actions and patterns, policies, and the pipeline of checks."""

from bursar.gate.patterns import Action, Pattern, escape, tool_action
from bursar.gate.pipeline import STAGES, Gate, GateRequest, Stage, Verdict, refusal
from bursar.gate.policy import Effect, Policy, PolicyDecision, Risk

__all__ = [
    "STAGES",
    "Action",
    "Effect",
    "Gate",
    "GateRequest",
    "Pattern",
    "Policy",
    "PolicyDecision",
    "Risk",
    "Stage",
    "Verdict",
    "escape",
    "refusal",
    "tool_action",
]
