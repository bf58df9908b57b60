"""Policies: what an agent's tools may do without anyone being asked."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

import msgspec

from bursar.errors import InvalidInput
from bursar.gate.hosts import is_private
from bursar.gate.patterns import Action, Pattern

__all__ = [
    "EFFECTS",
    "LISTS",
    "RISKS",
    "Effect",
    "Policy",
    "PolicyDecision",
    "Risk",
    "RuleList",
    "Rules",
    "judge",
]

Effect = Literal["pure", "idempotent", "at_most_once"]
"""What a repeat of a call would do: nothing, the same once more, or harm."""
Risk = Literal["low", "medium", "high", "critical"]
RuleList = Literal["blocked", "ask", "allow"]

EFFECTS: tuple[Effect, ...] = ("pure", "idempotent", "at_most_once")
RISKS: tuple[Risk, ...] = ("low", "medium", "high", "critical")
LISTS: tuple[RuleList, ...] = ("blocked", "ask", "allow")

_MAX_RULES = 1000
_FREE = (
    "this program runs whatever stands in the place of the wildcard, so that no rule permits it; "
    "name the script, as in 'exec://python check.py **'"
)


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """``rule`` says what decided: ``blocked exec://sudo **``, ``allow write_report``, a default.

    ``listed`` and ``pattern`` are the rule in parts, empty for a default; ``layer`` says whose
    policy it is of, where there are several.
    """

    verdict: Literal["allow", "ask", "deny"]
    rule: str
    listed: RuleList | Literal[""] = ""
    pattern: str = ""
    layer: str = ""


class Rules(Protocol):
    """What the gate judges calls by: one policy, or several over each other."""

    def decide(self, action: str | Action, effect: Effect) -> PolicyDecision: ...

    @property
    def hash(self) -> str:
        """SHA-256 of all that is in force; an approval holds as long as it stays the same."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """Three lists of patterns (see `bursar.gate.patterns`), checked when the policy is made.

    Blocked wins over everything, also over what a person granted; then ``ask``, then ``allow``.
    What no list names is allowed for ``pure`` tools and asked for all others. Hosts of the own
    network are blocked unless ``ask`` or ``allow`` names the host and the port, without wildcards.

        Policy(blocked=["exec://sudo **"], ask=["net://**"], allow=["write_report"])

    Raises:
        InvalidInput: A pattern is wrong; ``field`` is its place, such as ``policy.allow[0]``.

    """

    blocked: Sequence[str] = ()
    ask: Sequence[str] = ()
    allow: Sequence[str] = ()
    _rules: dict[str, tuple[Pattern, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rules = {name: _patterns(getattr(self, name), f"policy.{name}") for name in LISTS}
        for index, pattern in enumerate(rules["allow"]):
            if pattern.is_free:
                raise InvalidInput(_FREE, field=f"policy.allow[{index}]")
        for name, patterns in rules.items():
            object.__setattr__(self, name, tuple(pattern.text for pattern in patterns))
        object.__setattr__(self, "_rules", rules)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Policy":
        """Build a policy from JSON or TOML data; unknown keys are refused."""
        if not isinstance(data, Mapping):
            raise InvalidInput("expected a table of blocked, ask and allow", field="policy")
        for key in data:
            if key not in LISTS:
                raise InvalidInput("unknown, expected blocked, ask or allow", field=f"policy.{key}")
        return cls(**{key: cast("Any", value) for key, value in data.items()})

    def to_dict(self) -> dict[str, list[str]]:
        return {name: list(getattr(self, name)) for name in LISTS}

    @property
    def hash(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self.to_dict())).hexdigest()

    def decide(self, action: str | Action, effect: Effect) -> PolicyDecision:
        return judge([("", self)], action, effect)

    def matches(self, listed: RuleList, action: Action) -> Iterable[Pattern]:
        """The rules of a list that speak of ``action``, in their order."""
        for pattern in self._rules[listed]:
            if pattern.permits(action) if listed == "allow" else pattern.covers(action):
                yield pattern

    def names(self, action: Action) -> bool:
        """Whether ``ask`` or ``allow`` has this very thing, without a wildcard."""
        listed = (*self._rules["ask"], *self._rules["allow"])
        return any(pattern.exact and pattern.covers(action) for pattern in listed)


def judge(
    layers: Sequence[tuple[str, Policy]], action: str | Action, effect: Effect
) -> PolicyDecision:
    """Decide by several policies: the strictest that speaks of the action wins.

    Args:
        layers: each with its name; the first one that decides is named.

    """
    target = Action.parse(action) if isinstance(action, str) else action
    if target.kind == "file" and target.has_parent_step:
        return PolicyDecision("deny", "blocked: '..' in a path")
    if found := _first(layers, "blocked", target):
        return _by_rule("deny", "blocked", found)
    if (
        target.kind == "net"
        and is_private(target.path)
        and not any(policy.names(target) for _, policy in layers)
    ):
        return PolicyDecision(
            "deny", f"blocked: {target.path} is not of the public network, and no policy names it"
        )
    if found := _first(layers, "ask", target):
        return _by_rule("ask", "ask", found)
    if found := _first(layers, "allow", target):
        return _by_rule("allow", "allow", found)
    if effect == "pure":
        return PolicyDecision("allow", "default for pure tools")
    return PolicyDecision("ask", "default for tools with effects")


def _first(
    layers: Sequence[tuple[str, Policy]], listed: RuleList, action: Action
) -> tuple[str, str] | None:
    for layer, policy in layers:
        for pattern in policy.matches(listed, action):
            return layer, pattern.text
    return None


def _by_rule(
    verdict: Literal["allow", "ask", "deny"], listed: RuleList, found: tuple[str, str]
) -> PolicyDecision:
    layer, pattern = found
    rule = f"{listed} {pattern} ({layer})" if layer else f"{listed} {pattern}"
    return PolicyDecision(verdict, rule, listed, pattern, layer)


def _patterns(texts: Any, place: str) -> tuple[Pattern, ...]:
    if isinstance(texts, str) or not isinstance(texts, list | tuple):
        raise InvalidInput("expected a list of patterns", field=place)
    if len(texts) > _MAX_RULES:
        raise InvalidInput(f"expected at most {_MAX_RULES} patterns", field=place)
    patterns: list[Pattern] = []
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInput("expected a pattern as text", field=f"{place}[{index}]")
        try:
            patterns.append(Pattern(text))
        except InvalidInput as error:
            raise InvalidInput(error.message, field=f"{place}[{index}]") from None
    return tuple(patterns)
