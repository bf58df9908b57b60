"""The gateway's routes about policies. See `bursar.client.routes`."""

from collections.abc import Sequence
from types import NoneType
from typing import Any

from bursar.client.calls import Call
from bursar.client.places import Places, given, id_of
from bursar.client.policy_views import PolicyExplanation, PolicyView

__all__ = ["PolicyRoutes"]


class PolicyRoutes(Places):
    """Builds the requests about what agents may do."""

    def get_policy(self) -> Call[PolicyView]:
        """The workspace's policy for all agents; of version 0 if there is none."""
        return Call(method="GET", path=self._in_workspace("/policy"), kind=PolicyView)

    def set_policy(
        self,
        *,
        blocked: Sequence[str] = (),
        ask: Sequence[str] = (),
        allow: Sequence[str] = (),
        expected_version: int | None = None,
    ) -> Call[PolicyView]:
        """Put a policy for all agents in the place of the one before. Needs an administrator's key.

        The same policy again changes nothing.

        Args:
            expected_version: refuse (``policy_changed``) if another one is in force; 0 is none.

        """
        body = _policy(blocked, ask, allow, expected_version)
        return Call(method="PUT", path=self._in_workspace("/policy"), kind=PolicyView, body=body)

    def remove_policy(self, *, expected_version: int | None = None) -> Call[None]:
        path, params = self._in_workspace("/policy"), given(expected_version=expected_version)
        return Call(method="DELETE", path=path, kind=NoneType, params=params)

    def get_agent_policy(self, agent: str) -> Call[PolicyView]:
        """The workspace's policy for one agent; of version 0 if there is none."""
        return Call(method="GET", path=self._policy_of(agent), kind=PolicyView)

    def set_agent_policy(
        self,
        agent: str,
        *,
        blocked: Sequence[str] = (),
        ask: Sequence[str] = (),
        allow: Sequence[str] = (),
        expected_version: int | None = None,
    ) -> Call[PolicyView]:
        """As `set_policy`, for one agent."""
        body = _policy(blocked, ask, allow, expected_version)
        return Call(method="PUT", path=self._policy_of(agent), kind=PolicyView, body=body)

    def remove_agent_policy(self, agent: str, *, expected_version: int | None = None) -> Call[None]:
        path, params = self._policy_of(agent), given(expected_version=expected_version)
        return Call(method="DELETE", path=path, kind=NoneType, params=params)

    def list_policy_versions(self, *, agent: str | None = None) -> Call[list[PolicyView]]:
        """The last versions of the policy for all agents, or for one; newest first."""
        path, params = self._in_workspace("/policy/history"), given(agent=agent)
        return Call(method="GET", path=path, kind=list[PolicyView], params=params)

    def get_policy_version(self, version: int, *, agent: str | None = None) -> Call[PolicyView]:
        path, params = self._in_workspace(f"/policy/history/{version}"), given(agent=agent)
        return Call(method="GET", path=path, kind=PolicyView, params=params)

    def explain_policy(
        self,
        action: str,
        *,
        agent: str | None = None,
        effect: str | None = None,
        risk: str | None = None,
    ) -> Call[PolicyExplanation]:
        """Ask what the rules make of an action, such as ``exec://git push``, and which one decides.

        Args:
            agent: whose; its policy in the workspace and that of its code count, too.
            effect: of the tool: ``pure``, ``idempotent`` or ``at_most_once`` (default).
            risk: ``low`` (default) to ``critical``.

        """
        path = self._in_workspace("/policy/explain")
        body = {"action": action} | given(agent=agent, effect=effect, risk=risk)
        return Call(method="POST", path=path, kind=PolicyExplanation, body=body)

    def _policy_of(self, agent: str) -> str:
        return self._in_workspace(f"/policy/agents/{id_of(agent)}")


def _policy(
    blocked: Sequence[str], ask: Sequence[str], allow: Sequence[str], expected: int | None
) -> dict[str, Any]:
    lists = {"blocked": list(blocked), "ask": list(ask), "allow": list(allow)}
    return lists | given(expected_version=expected)
