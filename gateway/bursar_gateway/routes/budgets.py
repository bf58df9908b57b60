"""Budgets: read them at any time, change their limits, read the ledger."""

from typing import Annotated

from litestar import get, patch
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler
from msgspec import UNSET

from bursar import sessions, workspaces
from bursar.budgets.accounts import AccountView, change_limit, read_accounts, read_ledger
from bursar.errors import Denied, InvalidInput
from bursar.ids import check_user
from bursar.sessions import locate
from bursar_gateway.bodies import LimitChange, SessionBudget
from bursar_gateway.gateway import Gateway
from bursar_gateway.idempotency import IdempotencyKey, change_id
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]

_SESSION = "/workspaces/{ws:str}/sessions/{sid:str}/budget"
_WORKSPACE = "/workspaces/{ws:str}/budget"
_LEDGER_MAX = 1000


@get(_SESSION, tags=["budgets"], responses=problems(404))
async def session_budget(
    gateway: NamedDependency[Gateway], ws: FromPath[str], sid: FromPath[str]
) -> SessionBudget:
    """The session's account and all those that its spending counts against."""
    store = gateway.store
    view = await sessions.get(store, ws, sid)
    above = await sessions.ancestors_of(
        store, locate(store, ws, sid), parent=view.parent, root=view.root
    )
    names = ["ws", f"user:{view.user}", *(f"s:{ancestor}" for ancestor in above), f"s:{sid}"]
    accounts = await read_accounts(store, ws, names)
    return SessionBudget(accounts[-1], accounts)


@patch(_SESSION, tags=["budgets"], responses=problems(404, 409, with_body=True))
async def patch_session_budget(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    sid: FromPath[str],
    data: Annotated[LimitChange, body({"limit_microusd": 2_000_000})],
    idempotency_key: IdempotencyKey = None,
) -> AccountView:
    """Change a session's limits. Raising one lets turns that wait for money go on."""
    await sessions.get(gateway.store, ws, sid)
    return await _change(gateway, ws, f"s:{sid}", data, change_id(request, idempotency_key))


@get(_WORKSPACE, tags=["budgets"], responses=problems(404, 422))
async def workspace_budget(
    gateway: NamedDependency[Gateway], ws: FromPath[str], user: FromQuery[str] = ""
) -> AccountView:
    """The workspace's account, or with `user` that of one of its users."""
    await workspaces.get(gateway.store, ws)
    return (await read_accounts(gateway.store, ws, [_account(user)]))[0]


@patch(_WORKSPACE, tags=["budgets"], responses=problems(403, 404, 409, with_body=True))
async def patch_workspace_budget(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[LimitChange, body({"limit_microusd": 10_000_000, "warn_percent": 90})],
    user: FromQuery[str] = "",
    idempotency_key: IdempotencyKey = None,
) -> AccountView:
    """Change the workspace's limits, which needs an administrator's key, or those of a user."""
    if not user and not request.user.admin:
        raise Denied("a workspace's own limit needs an administrator's key", code="admin_only")
    await workspaces.get(gateway.store, ws)
    return await _change(gateway, ws, _account(user), data, change_id(request, idempotency_key))


@get(_WORKSPACE + "/ledger", tags=["budgets"], responses=problems(404, 422))
async def workspace_ledger(
    gateway: NamedDependency[Gateway], ws: FromPath[str], limit: FromQuery[int] = 100
) -> list[dict[str, str]]:
    """The newest ends of holds and changes of limits (at most 1000), newest first."""
    if not 1 <= limit <= _LEDGER_MAX:
        raise InvalidInput(f"expected an integer from 1 to {_LEDGER_MAX}", field="limit")
    await workspaces.get(gateway.store, ws)
    return await read_ledger(gateway.store, ws, limit=limit)


def _account(user: str) -> str:
    return f"user:{check_user(user)}" if user else "ws"


async def _change(
    gateway: Gateway, ws: str, account: str, data: LimitChange, change: str
) -> AccountView:
    limit = data.limit_microusd
    return await change_limit(
        gateway.store,
        ws,
        account,
        limit_microusd=None if limit is UNSET else limit,
        unlimited=limit is None,
        per_action_microusd=data.per_action_microusd,
        warn_percent=data.warn_percent,
        change_id=change,
    )


HANDLERS: list[ControllerRouterHandler] = [
    session_budget,
    patch_session_budget,
    workspace_budget,
    patch_workspace_budget,
    workspace_ledger,
]
