"""Policies: what an agent's tools may do without anyone being asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from bursar.errors import InvalidInput
from bursar.gate.patterns import Action, Pattern

__all__ = ["EFFECTS", "RISKS", "Effect", "Policy", "PolicyDecision", "Risk"]

Effect = Literal["pure", "idempotent", "at_most_once"]
"""What a repeat of a call would do: nothing, the same once more, or harm."""
Risk = Literal["low", "medium", "high", "critical"]

EFFECTS: tuple[Effect, ...] = ("pure", "idempotent", "at_most_once")
RISKS: tuple[Risk, ...] = ("low", "medium", "high", "critical")

_LISTS = ("blocked", "ask", "allow")
_MAX_RULES = 1000


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """``rule`` says what decided: ``blocked exec://sudo **``, ``allow write_report``, a default."""

    verdict: Literal["allow", "ask", "deny"]
    rule: str


@dataclass(frozen=True, slots=True)
class Policy:
    """Three lists of patterns (see `bursar.gate.patterns`), checked when the policy is made.

    Blocked wins over everything, also over what a person granted; then ``ask``, then ``allow``.
    What no list names is allowed for ``pure`` tools and asked for all others.

        Policy(blocked=["exec://sudo **"], ask=["net://**"], allow=["write_report"])

    Raises:
        InvalidInput: A pattern is wrong; ``field`` is its place, such as ``policy.allow[0]``.

    """

    blocked: Sequence[str] = ()
    ask: Sequence[str] = ()
    allow: Sequence[str] = ()
    _rules: dict[str, tuple[Pattern, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rules = {name: _patterns(getattr(self, name), f"policy.{name}") for name in _LISTS}
        for name, patterns in rules.items():
            object.__setattr__(self, name, tuple(pattern.text for pattern in patterns))
        object.__setattr__(self, "_rules", rules)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Policy":
        """Build a policy from JSON or TOML data; unknown keys are refused."""
        if not isinstance(data, Mapping):
            raise InvalidInput("expected a table of blocked, ask and allow", field="policy")
        for key in data:
            if key not in _LISTS:
                raise InvalidInput("unknown, expected blocked, ask or allow", field=f"policy.{key}")
        return cls(**{key: cast("Any", value) for key, value in data.items()})

    def to_dict(self) -> dict[str, list[str]]:
        return {name: list(getattr(self, name)) for name in _LISTS}

    def decide(self, action: str | Action, effect: Effect) -> PolicyDecision:
        target = Action.parse(action) if isinstance(action, str) else action
        if target.kind == "file" and target.has_parent_step:
            return PolicyDecision("deny", "blocked: '..' in a path")
        for pattern in self._rules["blocked"]:
            if pattern.covers(target):
                return PolicyDecision("deny", f"blocked {pattern.text}")
        for pattern in self._rules["ask"]:
            if pattern.covers(target):
                return PolicyDecision("ask", f"ask {pattern.text}")
        for pattern in self._rules["allow"]:
            if pattern.permits(target):
                return PolicyDecision("allow", f"allow {pattern.text}")
        if effect == "pure":
            return PolicyDecision("allow", "default for pure tools")
        return PolicyDecision("ask", "default for tools with effects")


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
