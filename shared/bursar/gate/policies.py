"""The rules of a call: policies that are stored for the workspace, over that of the agent's code.

A workspace has a policy of its own and one for each agent, both changed while everything runs. The
strictest of them and the code's wins, so that neither can open what the other one closed:

    blocked in any → refused;  ask in any → asked;  allow in any → allowed;  else the default

What is stored comes with the snapshot of the workspace's rules and grants, see
`bursar.gate.snapshot`; nothing here reads it.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import msgspec

from bursar.errors import InvalidInput
from bursar.gate.patterns import Action
from bursar.gate.policy import Effect, Policy, PolicyDecision, judge
from bursar.store.codec import decode_json

__all__ = ["WORKSPACE", "Layer", "Layered", "StoredPolicy", "layers_from", "scope_of"]

logger = logging.getLogger(__name__)

WORKSPACE = "ws"
"""Under which the workspace's own policy is stored; ``agent:<name>`` is that for an agent."""

_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}
_CLOSED = Policy(blocked=[f"{k}://**" for k in ("tool", "file", "exec", "net", "spawn", "custom")])


class StoredPolicy(msgspec.Struct, frozen=True):
    """A policy as the workspace keeps it. ``removed`` stands for none, in the history."""

    version: int
    at_ms: int
    by: str
    blocked: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    removed: bool = False

    @property
    def policy(self) -> Policy:
        return Policy(blocked=self.blocked, ask=self.ask, allow=self.allow)


@dataclass(frozen=True)
class Layer:
    """One policy among several. ``version`` is 0 for that of the agent's code."""

    name: str
    policy: Policy
    version: int = 0

    @property
    def label(self) -> str:
        return f"{self.name}, version {self.version}" if self.version else self.name


@dataclass(frozen=True)
class Layered:
    """Policies over each other, which the gate takes where it takes one."""

    layers: tuple[Layer, ...]
    above: tuple["Layered", ...] = ()
    """The rules of the agents that a sub-agent works for: each has to allow what it does."""

    def decide(self, action: str | Action, effect: Effect) -> PolicyDecision:
        """``rule`` says whose rule it is: ``ask net://** (workspace policy, version 3)``."""
        target = Action.parse(action) if isinstance(action, str) else action
        found = judge(self._named, target, effect)
        for rules in self.above:
            theirs = rules.decide(target, effect)
            # Whom a sub-agent may give tasks to, its own code says; what those may do is judged.
            silent = target.kind == "spawn" and not theirs.listed
            if not silent and _STRICTNESS[theirs.verdict] > _STRICTNESS[found.verdict]:
                whose = rules.layers[-1].name.removeprefix("code of ")
                rule = theirs.rule if theirs.layer else f"{theirs.rule}, of {whose} above"
                found = replace(theirs, rule=rule)
        return found

    @cached_property
    def _named(self) -> tuple[tuple[str, Policy], ...]:
        return tuple((layer.label, layer.policy) for layer in self.layers)

    @property
    def hash(self) -> str:
        """SHA-256 of all that is in force; an approval holds as long as it stays the same.

        A policy that was changed and changed back is the same again.
        """
        return self._hash

    @cached_property
    def _hash(self) -> str:
        content: list[Any] = [(layer.name, layer.policy.to_dict()) for layer in self.layers]
        content += [rules.hash for rules in self.above]
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        return {
            "hash": self.hash,
            "layers": [
                {"name": layer.name, "version": layer.version, **layer.policy.to_dict()}
                for layer in self.layers
            ],
        }


def scope_of(agent: str) -> str:
    """Under which the policy for an agent is stored; for no agent, the workspace's own."""
    return f"agent:{agent}" if agent else WORKSPACE


def layers_from(fields: Mapping[bytes, bytes], agent: str, code: Policy) -> Layered:
    """Return the rules of an agent's calls, from what the workspace stores and the agent's code.

    What is stored but cannot be read, as may be during an upgrade, lets nothing through.

    Args:
        fields: the workspace's policies as they are in Redis.
        agent: empty for no agent in particular: then only the workspace's own policy counts.

    """
    of_agent = fields.get(scope_of(agent).encode()) if agent else None
    return _layered(fields.get(WORKSPACE.encode()), of_agent, agent, code)


@lru_cache(maxsize=1024)
def _layered(
    of_workspace: bytes | None, of_agent: bytes | None, agent: str, code: Policy
) -> Layered:
    layers = []
    if of_workspace is not None:
        layers.append(_layer("workspace policy", of_workspace))
    if of_agent is not None:
        layers.append(_layer(f"workspace policy for agent {agent}", of_agent))
    if agent:
        layers.append(Layer(f"code of agent {agent}", code))
    return Layered(tuple(layers))


def _layer(name: str, stored: bytes) -> Layer:
    try:
        found = decode_json(stored, StoredPolicy)
        return Layer(name, found.policy, found.version)
    except (ValueError, RecursionError, InvalidInput) as error:
        logger.error("the %s cannot be read here, so nothing is allowed: %s", name, error)  # noqa: TRY400
        return Layer(f"{name}, unreadable for this worker", _CLOSED)
