"""Stored policies: what agents may do in a workspace, changed while everything runs."""

import re
from typing import Annotated

from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter
from litestar.types import ControllerRouterHandler

from bursar import workspaces
from bursar.errors import Conflict, InvalidInput
from bursar.gate import policy_store
from bursar.gate.explain import Explanation, explain, read_action
from bursar.gate.policy_store import PolicyLists, PolicyView
from bursar.store.keys import WorkspaceKeys
from bursar_gateway.auth import require_admin
from bursar_gateway.bodies import NewPolicy, PolicyQuestion
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]

_ONE = "/workspaces/{ws:str}/policy"
_OF_AGENT = _ONE + "/agents/{agent:str}"
_HISTORY = _ONE + "/history"
_EXAMPLE = {"blocked": ["exec://sudo **"], "ask": ["net://**"], "allow": ["file+read://docs/**"]}
_TAG = re.compile(r'(?:W/)?"?(\d{1,15})"?')

IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The version that you saw, as its `ETag` or as a number; with another one in "
        "force the change is refused. `*` is any that is there.",
    ),
]


@get(_ONE, tags=["policies"], responses=problems(404))
async def get_policy(gateway: NamedDependency[Gateway], ws: FromPath[str]) -> Response[PolicyView]:
    """The workspace's policy for all agents; version 0 says that there is none."""
    return await _get(gateway, ws, "")


@put(
    _ONE,
    guards=[require_admin],
    tags=["policies"],
    responses=problems(403, 404, 409, 429, with_body=True),
)
async def put_policy(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[NewPolicy, body(_EXAMPLE, {**_EXAMPLE, "expected_version": 3})],
    if_match: IfMatch = None,
) -> Response[PolicyView]:
    """Put a policy for all agents in the place of the one before. Needs an administrator's key."""
    return await _put(request, gateway, ws, "", data, if_match)


@delete(_ONE, guards=[require_admin], tags=["policies"], responses=problems(403, 404, 409, 422))
async def delete_policy(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    expected_version: FromQuery[int | None] = None,
    if_match: IfMatch = None,
) -> None:
    """Remove the policy for all agents. Needs an administrator's key."""
    await _delete(request, gateway, ws, "", expected_version, if_match)


@get(_OF_AGENT, tags=["policies"], responses=problems(404, 422))
async def get_agent_policy(
    gateway: NamedDependency[Gateway], ws: FromPath[str], agent: FromPath[str]
) -> Response[PolicyView]:
    """The workspace's policy for one agent; version 0 says that there is none."""
    return await _get(gateway, ws, agent)


@put(
    _OF_AGENT,
    guards=[require_admin],
    tags=["policies"],
    responses=problems(403, 404, 409, 429, with_body=True),
)
async def put_agent_policy(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    agent: FromPath[str],
    data: Annotated[NewPolicy, body(_EXAMPLE)],
    if_match: IfMatch = None,
) -> Response[PolicyView]:
    """The same for one agent, which no worker needs to serve yet. Needs an administrator's key."""
    return await _put(request, gateway, ws, agent, data, if_match)


@delete(
    _OF_AGENT, guards=[require_admin], tags=["policies"], responses=problems(403, 404, 409, 422)
)
async def delete_agent_policy(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    agent: FromPath[str],
    expected_version: FromQuery[int | None] = None,
    if_match: IfMatch = None,
) -> None:
    """Remove the policy for one agent. Needs an administrator's key."""
    await _delete(request, gateway, ws, agent, expected_version, if_match)


@get(_HISTORY, tags=["policies"], responses=problems(404, 422))
async def policy_history(
    gateway: NamedDependency[Gateway], ws: FromPath[str], agent: FromQuery[str] = ""
) -> list[PolicyView]:
    """The last 20 versions of the policy for all agents, or with `agent` for one; newest first."""
    return await policy_store.read_history(
        gateway.store, await workspaces.locate(gateway.store, ws), agent
    )


@get(_HISTORY + "/{version:int}", tags=["policies"], responses=problems(404, 422))
async def policy_version(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    version: FromPath[int],
    agent: FromQuery[str] = "",
) -> PolicyView:
    """One of these versions. Their numbers count over all policies of the workspace."""
    workspace = await workspaces.locate(gateway.store, ws)
    return await policy_store.read_version(gateway.store, workspace, version, agent)


@post(
    _ONE + "/explain",
    status_code=200,
    tags=["policies"],
    responses=problems(404, 409, with_body=True),
)
async def explain_policy(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[
        PolicyQuestion,
        body({"action": "exec://git push"}, {"action": "write_report", "effect": "idempotent"}),
    ],
) -> Explanation:
    """Say what the rules make of an action, which rule decides, and what would be needed.

    With `agent`, the policy for that agent and that of its code count, too.
    """
    workspace, action = await workspaces.locate(gateway.store, ws), read_action(data.action)
    rules = await policy_store.read_rules(gateway.store, gateway.registry, workspace, data.agent)
    entry = await gateway.registry.find(data.agent) if data.agent else None
    return explain(
        rules,
        action,
        agent=data.agent,
        effect=data.effect,
        risk=data.risk,
        hooks=entry.hooks.get("pre_tool", []) if entry else [],
    )


async def _get(gateway: Gateway, ws: str, agent: str) -> Response[PolicyView]:
    view = await policy_store.read_policy(
        gateway.store, await workspaces.locate(gateway.store, ws), agent
    )
    return _tagged(view)


async def _put(
    request: JsonRequest,
    gateway: Gateway,
    ws: str,
    agent: str,
    data: NewPolicy,
    if_match: str | None,
) -> Response[PolicyView]:
    workspace = await workspaces.locate(gateway.store, ws)
    lists = PolicyLists(data.blocked, data.ask, data.allow)
    expected = await _expected(gateway, workspace, agent, data.expected_version, if_match)
    view = await policy_store.set_policy(
        gateway.store, workspace, lists, by=request.user.actor, agent=agent, expected=expected
    )
    return _tagged(view)


async def _delete(
    request: JsonRequest,
    gateway: Gateway,
    ws: str,
    agent: str,
    version: int | None,
    if_match: str | None,
) -> None:
    workspace = await workspaces.locate(gateway.store, ws)
    expected = await _expected(gateway, workspace, agent, version, if_match)
    await policy_store.remove_policy(
        gateway.store, workspace, by=request.user.actor, agent=agent, expected=expected
    )


async def _expected(
    gateway: Gateway,
    workspace: WorkspaceKeys,
    agent: str,
    version: int | None,
    if_match: str | None,
) -> int | None:
    """The version that a change was made with, by the body, the query or the header."""
    if version is not None and version < 0:
        raise InvalidInput("expected a version, or 0 for none", field="expected_version")
    if if_match is None:
        return version
    if version is not None:
        raise InvalidInput("give expected_version or If-Match, not both", field="If-Match")
    if if_match.strip() == "*":
        present = await policy_store.read_policy(gateway.store, workspace, agent)
        if not present.version:
            raise Conflict("there is no such policy yet", code="policy_changed", version=0)
        return present.version
    tag = _TAG.fullmatch(if_match.strip())
    if tag is None:
        raise InvalidInput('expected a version such as "3", or *', field="If-Match")
    return int(tag[1])


def _tagged(view: PolicyView) -> Response[PolicyView]:
    return Response(view, headers={"ETag": f'"{view.version}"'})


HANDLERS: list[ControllerRouterHandler] = [
    get_policy,
    put_policy,
    delete_policy,
    get_agent_policy,
    put_agent_policy,
    delete_agent_policy,
    policy_history,
    policy_version,
    explain_policy,
]
