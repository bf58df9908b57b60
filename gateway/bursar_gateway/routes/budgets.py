"""Budgets: read them at any time, change their limits and periods, answer what they ask."""

from typing import Annotated, NamedTuple

from litestar import get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler

from bursar import sessions, workspaces
from bursar.budgets.accounts import AccountView, LimitChange, change_limit, read_accounts
from bursar.budgets.periods import change_period, reset_now
from bursar.budgets.questions import Question, deny, give, read_questions
from bursar.errors import Denied
from bursar.ids import check_user
from bursar.sessions import locate
from bursar_gateway.bodies import Denial, DeniedTurns, PeriodChange, SessionBudget
from bursar_gateway.gateway import Gateway
from bursar_gateway.idempotency import IdempotencyKey, change_id
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]

_SESSION = "/workspaces/{ws:str}/sessions/{sid:str}/budget"
_WORKSPACE = "/workspaces/{ws:str}/budget"
_DAILY = {"period": "day", "time_zone": "Europe/Berlin"}


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
    return await _change(gateway, ws, f"s:{sid}", data, _By.of(request, idempotency_key))


@get(_WORKSPACE, tags=["budgets"], responses=problems(404, 422))
async def workspace_budget(
    gateway: NamedDependency[Gateway], ws: FromPath[str], user: FromQuery[str] = ""
) -> AccountView:
    """The workspace's account, or with `user` that of one of its users."""
    await workspaces.locate(gateway.store, ws)
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
    _check_rights(request, user)
    await workspaces.locate(gateway.store, ws)
    return await _change(gateway, ws, _account(user), data, _By.of(request, idempotency_key))


@get(_WORKSPACE + "/questions", tags=["budgets"], responses=problems(404))
async def budget_questions(gateway: NamedDependency[Gateway], ws: FromPath[str]) -> list[Question]:
    """Accounts that have run dry or are frozen, with the turns that wait for them.

    Raising the limit answers one, as does denying it.
    """
    await workspaces.locate(gateway.store, ws)
    return await read_questions(gateway.store, ws)


@post(
    _WORKSPACE + "/deny",
    status_code=200,
    tags=["budgets"],
    responses=problems(404, 422, with_body=True),
)
async def deny_budget(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[Denial, body({"account": "s:ses_1", "reason": "good enough"})],
) -> DeniedTurns:
    """Give no more money: the turns that wait for an account end with what they have."""
    await workspaces.locate(gateway.store, ws)
    denied = await deny(
        gateway.store, gateway.bells, ws, data.account, data.reason, actor=request.user.actor
    )
    return DeniedTurns(denied)


@put(_SESSION + "/period", tags=["budgets"], responses=problems(404, 409, with_body=True))
async def put_session_period(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    sid: FromPath[str],
    data: Annotated[PeriodChange, body(_DAILY)],
    idempotency_key: IdempotencyKey = None,
) -> AccountView:
    """Let a session's spending count from zero again each day or month, or never."""
    await sessions.get(gateway.store, ws, sid)
    return await _set_period(gateway, ws, f"s:{sid}", data, _By.of(request, idempotency_key))


@put(_WORKSPACE + "/period", tags=["budgets"], responses=problems(403, 404, 409, with_body=True))
async def put_workspace_period(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[PeriodChange, body(_DAILY, {"period": "none"})],
    user: FromQuery[str] = "",
    idempotency_key: IdempotencyKey = None,
) -> AccountView:
    """The same for the workspace, which needs an administrator's key, or for a user."""
    _check_rights(request, user)
    await workspaces.locate(gateway.store, ws)
    return await _set_period(gateway, ws, _account(user), data, _By.of(request, idempotency_key))


@post(_SESSION + "/reset", status_code=200, tags=["budgets"], responses=problems(404, 422))
async def reset_session_budget(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    sid: FromPath[str],
    idempotency_key: IdempotencyKey = None,
) -> AccountView:
    """Let a session's spending count from zero again, now. What is held stays held."""
    await sessions.get(gateway.store, ws, sid)
    return await _reset(gateway, ws, f"s:{sid}", _By.of(request, idempotency_key))


@post(_WORKSPACE + "/reset", status_code=200, tags=["budgets"], responses=problems(403, 404, 422))
async def reset_workspace_budget(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    user: FromQuery[str] = "",
    idempotency_key: IdempotencyKey = None,
) -> AccountView:
    """The same for the workspace, which needs an administrator's key, or for a user."""
    _check_rights(request, user)
    await workspaces.locate(gateway.store, ws)
    return await _reset(gateway, ws, _account(user), _By.of(request, idempotency_key))


def _check_rights(request: JsonRequest, user: str) -> None:
    """The workspace's own account is set up for its tenants; those of users are theirs."""
    if not user and not request.user.admin:
        raise Denied("a workspace's own budget needs an administrator's key", code="admin_only")


def _account(user: str) -> str:
    return f"user:{check_user(user)}" if user else "ws"


class _By(NamedTuple):
    """The id of a change and who makes it."""

    id: str
    actor: str

    @classmethod
    def of(cls, request: JsonRequest, key: str | None) -> "_By":
        return cls(change_id(request, key), request.user.actor)


async def _change(
    gateway: Gateway, ws: str, account: str, data: LimitChange, by: _By
) -> AccountView:
    view = await change_limit(gateway.store, ws, account, data, change_id=by.id, actor=by.actor)
    if view.waiting:
        await give(gateway.store, gateway.bells, ws, account)
        (view,) = await read_accounts(gateway.store, ws, [account])
    return view


async def _set_period(
    gateway: Gateway, ws: str, account: str, data: PeriodChange, by: _By
) -> AccountView:
    await change_period(
        gateway.store,
        ws,
        account,
        data.period,
        time_zone=data.time_zone,
        resets_ms=data.resets_ms,
        change_id=by.id,
        actor=by.actor,
    )
    return (await read_accounts(gateway.store, ws, [account]))[0]


async def _reset(gateway: Gateway, ws: str, account: str, by: _By) -> AccountView:
    if await reset_now(gateway.store, ws, account, change_id=by.id, actor=by.actor):
        await give(gateway.store, gateway.bells, ws, account)
    return (await read_accounts(gateway.store, ws, [account]))[0]


HANDLERS: list[ControllerRouterHandler] = [
    session_budget,
    patch_session_budget,
    workspace_budget,
    patch_workspace_budget,
    budget_questions,
    deny_budget,
    put_session_period,
    put_workspace_period,
    reset_session_budget,
    reset_workspace_budget,
]
