"""Why a call would be allowed, asked or refused: the rules at work, in words."""

import msgspec

from bursar.errors import InvalidInput
from bursar.gate.patterns import Action, Pattern, escape
from bursar.gate.policies import Layered
from bursar.gate.policy import LISTS, Effect, PolicyDecision, Risk

__all__ = ["Explanation", "MatchingRule", "explain", "read_action"]


class MatchingRule(msgspec.Struct, frozen=True):
    """A rule that speaks of the action. ``version`` is 0 for one of the agent's code."""

    layer: str
    version: int
    listed: str
    pattern: str
    decides: bool


class Explanation(msgspec.Struct, frozen=True):
    """What the gate's rules say of an action; boundary, hooks and grants are not looked at.

    ``reason`` names the rule that decides, or the default; ``needed`` says what would have to be
    different. ``rules`` are all that speak of the action, the deciding one among them.
    """

    action: str
    agent: str
    effect: str
    risk: str
    verdict: str
    reason: str
    needed: str
    rules: list[MatchingRule]
    hash: str
    hooks: list[str] = []
    """Hooks of the agent that look at calls before they run, and may decide otherwise."""


def read_action(text: str) -> Action:
    """An action as people write it: a tool's name is enough.

    Raises:
        InvalidInput: ``field`` is ``action``.

    """
    if "://" in text:
        return Action.parse(text)
    try:
        pattern = Pattern(text)
    except InvalidInput:
        pattern = None
    if pattern is None or not pattern.exact:
        raise InvalidInput(
            "expected a tool's name, or an action such as exec://git push", field="action"
        )
    return Action("tool", pattern.path)


def explain(
    rules: Layered,
    action: Action,
    *,
    agent: str = "",
    effect: Effect = "at_most_once",
    risk: Risk = "low",
    hooks: list[str] | None = None,
) -> Explanation:
    """Say what the rules make of an action, and which of them."""
    found = rules.decide(action, effect)
    verdict, reason = found.verdict, found.rule
    if risk == "critical" and verdict == "allow":
        verdict, reason = "ask", "critical risk always asks"
    return Explanation(
        action=str(action),
        agent=agent,
        effect=effect,
        risk=risk,
        verdict=verdict,
        reason=reason,
        needed=_needed(action, found, verdict, risk),
        rules=_matching(rules, action, found),
        hash=rules.hash,
        hooks=hooks or [],
    )


def _matching(rules: Layered, action: Action, found: PolicyDecision) -> list[MatchingRule]:
    matching = []
    decided = False
    for listed in LISTS:
        for layer in rules.layers:
            for pattern in layer.policy.matches(listed, action):
                one = (listed, pattern.text, layer.label)
                decides = not decided and one == (found.listed, found.pattern, found.layer)
                decided = decided or decides
                matching.append(
                    MatchingRule(layer.name, layer.version, listed, pattern.text, decides)
                )
    return matching


def _needed(action: Action, found: PolicyDecision, verdict: str, risk: Risk) -> str:
    """What would have to be different for the call to run without a person."""
    if verdict == "allow":
        return "nothing: the call runs without anyone being asked"
    if found.verdict == "deny":
        return _to_unblock(action, found)
    if risk == "critical":
        return "a person's answer to each call, as the tool's risk is critical"
    if action.has_shell_syntax or action.has_parent_step:
        return (
            "a person's answer to each call: no rule and no grant permits shell syntax or '..' "
            "in a command"
        )
    answer = "a person's answer, or a grant that a person gave"
    if found.listed == "ask":
        return f"{answer}; or without: `{found.pattern}` taken out of `ask` in the {found.layer}"
    return f"{answer}; or without: `{escape(str(action))}` in `allow` of one of the policies"


def _to_unblock(action: Action, found: PolicyDecision) -> str:
    if found.listed == "blocked":
        return (
            f"`{found.pattern}` taken out of `blocked` in the {found.layer}; no grant and no "
            "answer of a person helps"
        )
    if action.kind == "net":
        return (
            f"`{action}` in `allow` or `ask` of one of the policies, with the host and the port as "
            "they are"
        )
    return "a path without '..'"
