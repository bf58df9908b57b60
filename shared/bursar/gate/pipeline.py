"""The gate: the ordered checks that a tool call passes before it runs.

    BOUNDARY, PRE-HOOK, POLICY BLOCK, CAPABILITY, (budget), POLICY ALLOW, ALLOWANCE, HUMAN

A stage looks at the request and returns a `Verdict`, or None when it has nothing to say. A ``deny``
decides at once. An ``ask`` stands until a later stage allows the call by something that answers it;
what answers it, it says itself. The call runs when a stage has allowed it and nothing is left to
ask; a question that nothing answers is put to people.
"""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import replace

from bursar.errors import Denied, InvalidInput
from bursar.gate.allowances import choose
from bursar.gate.escapes import boundary_stage
from bursar.gate.patterns import Action, escape
from bursar.gate.requests import APPROVED, GateRequest, Stage, Use, Verdict
from bursar.gate.targets import decide_everywhere, find_targets

__all__ = [
    "STAGES",
    "Gate",
    "GateRequest",
    "Stage",
    "Verdict",
    "allowance",
    "always_asked",
    "capability",
    "hook_allow",
    "human",
    "policy_allow",
    "policy_block",
    "pre_hook",
    "refusal",
    "remedy_for",
    "unanswered",
]

logger = logging.getLogger(__name__)


async def always_asked(request: GateRequest, action: Action) -> Verdict | None:
    """Put each call of a critical or suspect tool to a person: no standing grant is enough."""
    del action
    if request.suspect:
        return Verdict("ask", "manifest", "system", request.suspect, answered_by=APPROVED)
    if request.risk == "critical":
        reason = "critical risk always asks"
        return Verdict("ask", "risk", "system", reason, answered_by=APPROVED)
    return None


async def pre_hook(request: GateRequest, action: Action) -> Verdict | None:
    """Say what the agent's hooks said; they ran before, as they may change the arguments."""
    del action
    return request.hook if request.hook and request.hook.decision != "allow" else None


async def policy_block(request: GateRequest, action: Action) -> Verdict | None:
    """Refuse what the policy blocks, before any grant is looked at: blocked wins over grants."""
    found = decide_everywhere(request, action)
    if found.verdict != "deny":
        return None
    remedy = "An operator can change that rule." if found.listed else ""
    return Verdict("deny", "policy_block", "policy", found.rule, found.rule, remedy=remedy)


async def capability(request: GateRequest, action: Action) -> Verdict | None:
    """Let through what a capability of the workspace permits. It is verified at each use."""
    if request.approved is not None:
        return None  # a person answered about this very call: nothing else is used up for it
    for stored in request.granted.capabilities:
        try:
            held = stored.for_call(
                request.targets or (action,),
                session=request.session,
                root=request.root,
                manifest=request.manifest,
                outside=request.outside,
                now_ms=request.granted.now_ms,
                call=request.call,
            )
        except Denied as error:
            # It would permit the call, but authorises nothing: expired, tampered with, foreign.
            logger.warning("capability %s: %s", stored.capability.id, error)
            continue
        if held is not None:
            use = Use("capability", held.id, held.parts(request.call))
            reason = f"capability {held.id}"
            return Verdict("allow", "capability", "capability", reason, held.id, use=use)
    return None


async def hook_allow(request: GateRequest, action: Action) -> Verdict | None:
    """Let through what a hook allows: it answers the policy's `ask`, and nothing before that."""
    del action
    return request.hook if request.hook and request.hook.decision == "allow" else None


async def policy_allow(request: GateRequest, action: Action) -> Verdict | None:
    """Let through what the policy allows; for the rest say why it has to be asked."""
    found = decide_everywhere(request, action)
    return Verdict(found.verdict, "policy_allow", "policy", found.rule, found.rule)


async def allowance(request: GateRequest, action: Action) -> Verdict | None:
    """Let through what people have allowed before."""
    if request.approved is not None:
        return None
    found = choose(
        request.granted.allowances,
        request.targets or (action,),
        session=request.session,
        root=request.root,
        manifest=request.manifest,
        outside=request.outside,
        now_ms=request.granted.now_ms,
    )
    if found is None:
        return None
    until = "" if found.expires_ms is None else found.expires_ms
    use = Use("allowance", found.id, (found.id, until, found.root), found.root)
    return Verdict("allow", "allowance", "allowance", f"allowance {found.id}", found.id, use=use)


async def human(request: GateRequest, action: Action) -> Verdict | None:
    """Let through what a person answered about this very call."""
    del action
    return request.approved


STAGES: tuple[Stage, ...] = (
    boundary_stage,
    always_asked,
    pre_hook,
    policy_block,
    capability,
    hook_allow,
    policy_allow,
    allowance,
    human,
)


class Gate:
    """Decides calls by ``stages``, in order; an ``ask`` that is left is put to people."""

    def __init__(self, stages: Sequence[Stage] = STAGES) -> None:
        self._stages = tuple(stages)

    async def decide(self, request: GateRequest) -> Verdict:
        try:
            action = Action.parse(request.action).within(_folder_of(request))
        except InvalidInput as error:
            reason = f"the tool's action is wrong: {error.message}"
            return Verdict("deny", "action", "system", reason)
        try:
            request = replace(request, targets=await find_targets(request, action))
        except InvalidInput as error:
            return Verdict("deny", "boundary", "system", str(error))
        asked: list[Verdict] = []
        for stage in self._stages:
            verdict = await stage(request, action)
            if verdict is None:
                continue
            if verdict.decision == "deny":
                return verdict
            if verdict.decision == "ask":
                asked.append(verdict)
                if verdict.outside:
                    request = replace(request, outside=verdict.outside)
            elif all(verdict.proof in each.answered_by for each in asked):
                return replace(verdict, outside=request.outside)
        # The first is the gravest: what only a person can answer comes before the policy's wish.
        return asked[0] if asked else Verdict("ask", "gate", "system", "no stage allowed it")


def _folder_of(request: GateRequest) -> str | None:
    boundary = request.boundary
    return boundary.root if boundary is not None and boundary.folder is not None else None


def refusal(request: GateRequest, verdict: Verdict) -> str:
    """Return the error result of a call that was refused: what stopped it, what would permit it.

    The model reads it, and so does the operator in the transcript; hence the exact setting.
    """
    said = f"`{request.tool}` was refused: {verdict.reason}. Do not repeat this call."
    return f"{said} {verdict.remedy}".rstrip()


def unanswered(tool: str, reason: str, remedy: str, why: str) -> str:
    """Return the error result of a call about which people were asked in vain.

    Args:
        tool: its name.
        reason: why they were asked; ``remedy`` is what `remedy_for` said of it.
        why: why there is no answer, in words.

    """
    return (
        f"`{tool}` was not run: it needs approval ({reason}), and {why}. "
        f"Do not repeat this call. {remedy}"
    )


def remedy_for(request: GateRequest, verdict: Verdict) -> str:
    """Return what an operator could do so that such a call needs nobody."""
    if verdict.remedy:
        return verdict.remedy
    action = Action.parse(request.action)
    if verdict.answered_by == APPROVED:
        return "No policy permits it without a person."
    if action.has_shell_syntax or action.has_parent_step:
        return "No policy permits a command with shell syntax or '..'; use one plain command."
    pattern = shlex.quote(escape(request.action))
    add = f"bursar allowances add {pattern} -w {request.workspace}"
    return f"To permit such calls, an approver runs: {add}"
