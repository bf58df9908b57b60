"""The policies of a workspace as people read and change them.

Every change has a version, counted over all policies of the workspace, and the last ones of each
policy can be read again. A change made with the version that its author saw is refused when another
one came in between.
"""

import msgspec

from bursar.audit.entries import Record
from bursar.errors import Conflict, InvalidInput, NotFound
from bursar.gate.policies import Layered, StoredPolicy, layers_from, scope_of
from bursar.gate.policy import Policy
from bursar.ids import check_id
from bursar.registry import Registry
from bursar.store.codec import decode_json, encode_json, text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.policies import put_policy
from bursar.store.store import Store

__all__ = [
    "MAX_POLICY_BYTES",
    "PolicyLists",
    "PolicyView",
    "read_history",
    "read_policy",
    "read_rules",
    "read_version",
    "remove_policy",
    "set_policy",
]

MAX_POLICY_BYTES = 65_536
"""Largest policy, as JSON: each worker reads all of a workspace whenever something changes."""


class PolicyLists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Patterns of actions, such as ``exec://git push **``; blocked wins over ask over allow."""

    blocked: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


class PolicyView(msgspec.Struct, frozen=True):
    """One policy of a workspace: for all agents, or with ``agent`` for that one.

    ``version`` is 0 when there is none, and all else then empty. ``removed`` marks the version in
    the history with which one ended.
    """

    agent: str
    version: int
    at_ms: int = 0
    by: str = ""
    blocked: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    removed: bool = False


async def read_policy(store: Store, workspace: WorkspaceKeys, agent: str = "") -> PolicyView:
    """The policy in force for all agents, or for one; of version 0 if there is none."""
    stored = await store.redis.call("HGET", workspace.policies, _scope(agent))
    return _view(agent, decode_json(stored, StoredPolicy)) if stored else PolicyView(agent, 0)


async def set_policy(
    store: Store,
    workspace: WorkspaceKeys,
    lists: PolicyLists,
    *,
    by: str,
    agent: str = "",
    expected: int | None = None,
) -> PolicyView:
    """Put a policy in force. Workers judge by it from their next call on.

    Args:
        expected: the version that ``by`` saw, 0 for none; None takes any.

    Raises:
        InvalidInput: names the pattern, such as ``policy.allow[0]``.
        Conflict: another version is in force (``policy_changed``).

    """
    scope = _scope(agent)
    policy = Policy(blocked=lists.blocked, ask=lists.ask, allow=lists.allow)
    if len(encode_json(policy.to_dict())) > MAX_POLICY_BYTES:
        raise InvalidInput(f"expected at most {MAX_POLICY_BYTES} bytes as JSON", field="policy")
    record = _record(workspace, agent, "policy.set", by, hash=policy.hash)
    await put_policy(store, workspace, scope, policy.to_dict(), record, expected=expected)
    return await read_policy(store, workspace, agent)


async def remove_policy(
    store: Store,
    workspace: WorkspaceKeys,
    *,
    by: str,
    agent: str = "",
    expected: int | None = None,
) -> None:
    """Take a policy out of force; its last versions stay readable.

    Raises:
        NotFound: there is none (``policy_not_found``).
        Conflict: another version is in force (``policy_changed``).

    """
    record = _record(workspace, agent, "policy.remove", by)
    await put_policy(store, workspace, _scope(agent), None, record, expected=expected)


async def read_history(store: Store, workspace: WorkspaceKeys, agent: str = "") -> list[PolicyView]:
    """The last versions, newest first."""
    scope = _scope(agent)
    versions = text(await store.redis.call("HGET", workspace.policy_history, scope))
    if not versions:
        return []
    fields = [f"{scope}@{version}" for version in versions.split(",")]
    found = await store.redis.call("HMGET", workspace.policy_history, *fields)
    return [_view(agent, decode_json(each, StoredPolicy)) for each in found if each is not None]


async def read_version(
    store: Store, workspace: WorkspaceKeys, version: int, agent: str = ""
) -> PolicyView:
    """One version that was, or is, in force.

    Raises:
        NotFound: no such version, or no more (``policy_not_found``).

    """
    field = f"{_scope(agent)}@{version}"
    stored = await store.redis.call("HGET", workspace.policy_history, field)
    if stored is None:
        raise NotFound("no such version of this policy is kept", code="policy_not_found")
    return _view(agent, decode_json(stored, StoredPolicy))


async def read_rules(
    store: Store, registry: Registry, workspace: WorkspaceKeys, agent: str = ""
) -> Layered:
    """What the calls of an agent are judged by, its code's policy as workers announced it.

    Raises:
        InvalidInput: no worker ever served the agent (``unknown_agent``).
        Conflict: its worker did not say what the policy of its code is (``policy_unknown``).

    """
    code = Policy()
    if agent:
        announced = (await registry.require(agent)).policy
        if announced is None:
            message = "the worker of this agent is too old to say what the policy of its code is"
            raise Conflict(message, code="policy_unknown")
        code = Policy.from_dict(announced)
    scopes = [scope_of(""), _scope(agent)]
    found = await store.redis.call("HMGET", workspace.policies, *scopes)
    stored = {s.encode(): each for s, each in zip(scopes, found, strict=True) if each is not None}
    return layers_from(stored, agent, code)


def _scope(agent: str) -> str:
    return scope_of(check_id(agent, "agent") if agent else "")


def _view(agent: str, stored: StoredPolicy) -> PolicyView:
    return PolicyView(agent=agent, **msgspec.structs.asdict(stored))


def _record(workspace: WorkspaceKeys, agent: str, action: str, by: str, **more: str) -> Record:
    return Record(
        workspace=workspace.id,
        actor=by,
        action=action,
        decision="done",
        details={"scope": scope_of(agent), **more},
    )
