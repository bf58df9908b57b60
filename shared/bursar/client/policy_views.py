"""What a client reads about policies. See `bursar.client.views`."""

import msgspec

__all__ = ["MatchingRule", "PolicyExplanation", "PolicyView"]


class PolicyView(msgspec.Struct, frozen=True):
    """One policy of a workspace: for all agents, or with ``agent`` for that one.

    ``version`` is 0 when there is none. ``removed`` marks the version in the history with which one
    ended.
    """

    agent: str
    version: int
    at_ms: int = 0
    by: str = ""
    blocked: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    removed: bool = False


class MatchingRule(msgspec.Struct, frozen=True):
    """A rule that speaks of an action. ``version`` is 0 for one of the agent's code."""

    layer: str
    version: int
    listed: str
    pattern: str
    decides: bool = False


class PolicyExplanation(msgspec.Struct, frozen=True):
    """What the rules make of an action: ``verdict`` is ``allow``, ``ask`` or ``deny``.

    ``reason`` names the rule that decides, or the default; ``needed`` says what would have to be
    different. ``rules`` are all that speak of the action.
    """

    action: str
    agent: str
    effect: str
    risk: str
    verdict: str
    reason: str
    needed: str
    rules: list[MatchingRule]
    hash: str = ""
    hooks: list[str] = []
