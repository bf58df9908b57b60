"""The gate: the ordered checks that a tool call passes before it runs.

A stage looks at the request and returns a `Verdict`, or None when it has nothing to say. The
first ``allow`` or ``deny`` decides. An ``ask`` stands only until a later stage answers it; when
none does, it is the outcome, and nothing runs.

The order, with the places of stages that an installation adds:

    BOUNDARY, pre-hook, POLICY BLOCK, capability, budget check, POLICY ALLOW, allowance, human
"""

from collections.abc import Sequence

from bursar.errors import InvalidInput
from bursar.gate.escapes import boundary_stage
from bursar.gate.patterns import Action, escape, tool_action
from bursar.gate.requests import GateRequest, Stage, Verdict

__all__ = [
    "STAGES",
    "Gate",
    "GateRequest",
    "Stage",
    "Verdict",
    "policy_allow",
    "policy_block",
    "refusal",
]


async def policy_block(request: GateRequest, action: Action) -> Verdict | None:
    """Refuse what the policy blocks, before any grant is looked at: blocked wins over grants."""
    found = request.policy.decide(action, request.effect)
    if found.verdict != "deny":
        return None
    return Verdict("deny", "policy_block", "policy", found.rule)


async def policy_allow(request: GateRequest, action: Action) -> Verdict | None:
    """Let through what the policy allows; for the rest say why it has to be asked."""
    found = request.policy.decide(action, request.effect)
    return Verdict(found.verdict, "policy_allow", "policy", found.rule)


STAGES: tuple[Stage, ...] = (
    boundary_stage,
    policy_block,
    policy_allow,
)


class Gate:
    """Decides calls by ``stages``, in order. Without a stage that asks people, ``ask`` is final."""

    def __init__(self, stages: Sequence[Stage] = STAGES) -> None:
        self._stages = tuple(stages)

    async def decide(self, request: GateRequest) -> Verdict:
        try:
            action = Action.parse(request.action)
        except InvalidInput as error:
            reason = f"the tool's action is wrong: {error.message}"
            return Verdict("deny", "action", "system", reason)
        pending = Verdict("ask", "gate", "system", "no stage allowed it")
        for stage in self._stages:
            verdict = await stage(request, action)
            if verdict is None:
                continue
            allowed = verdict.decision == "allow"
            if verdict.decision == "deny" or (allowed and verdict.proof == "approval"):
                return verdict
            if pending.only_a_person:
                continue
            if request.risk == "critical" and allowed:
                # No rule and no standing grant is enough for a critical tool, each call is asked.
                pending = Verdict("ask", verdict.stage, "system", "critical risk always asks")
            elif allowed:
                return verdict
            else:
                pending = verdict
        return pending


def refusal(request: GateRequest, verdict: Verdict) -> str:
    """Return the error result of a call that did not run: what stopped it and what would permit it.

    The model reads it, and so does the operator in the transcript; hence the exact setting.
    """
    if verdict.decision == "deny":
        remedy = verdict.remedy or f"An operator can change the policy of agent `{request.agent}`."
        return f"`{request.tool}` was refused: {verdict.reason}. Do not repeat this call. {remedy}"
    return (
        f"`{request.tool}` was not run: it needs approval ({verdict.reason}) and nobody can be "
        f"asked here. Do not repeat this call. {_remedy(request, verdict)}"
    )


def _remedy(request: GateRequest, verdict: Verdict) -> str:
    if verdict.remedy:
        return verdict.remedy
    action = Action.parse(request.action)
    if request.risk == "critical":
        return "The tool is declared risk='critical', which no policy permits without a person."
    if action.has_shell_syntax or action.has_parent_step:
        return "No policy permits a command with shell syntax or '..'; use one plain command."
    is_default = request.action == tool_action("local", request.tool)
    pattern = request.tool if is_default else escape(request.action)
    setting = f"Agent(policy=Policy(allow=[{_quoted(pattern)}]))"
    if verdict.reason.startswith("ask "):
        rule = verdict.reason.removeprefix("ask ")
        return (
            f"To permit it, the operator takes {_quoted(rule)} out of the `ask` list of agent "
            f"`{request.agent}` and sets {setting}."
        )
    return f"To permit it, the operator sets {setting} on agent `{request.agent}`."


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
