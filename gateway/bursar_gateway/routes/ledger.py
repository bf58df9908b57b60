"""The ledger: read it, add it up, check it, and let what is stored elsewhere go."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal, cast

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from bursar import workspaces
from bursar.budgets.audit import BudgetAudit, audit_budgets
from bursar.budgets.checkpoints import Checkpoint, Trimmed, make_checkpoint, trim_ledger
from bursar.budgets.ledger import LedgerEntry, check_entry, read_ledger, walk_ledger
from bursar.budgets.spending import Spending, read_spending
from bursar.budgets.table import csv_head, csv_rows
from bursar.errors import InvalidInput
from bursar_gateway.auth import require_admin
from bursar_gateway.bodies import CheckpointWish, Trim
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]

_BUDGET = "/workspaces/{ws:str}/budget"
_PAGE_MAX = 1000
_CHUNK = 1000  # entries of a file that are sent at once
_SPENDERS_MAX = 1000
_MOMENT_MAX = 10**14


@get(_BUDGET + "/ledger", tags=["budgets"], responses=problems(404, 422))
async def workspace_ledger(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
    before: FromQuery[str] = "",
    since: FromQuery[int] = 0,
    format: FromQuery[Literal["json", "csv"]] = "json",  # noqa: A002  (the parameter's name)
) -> Response[list[LedgerEntry]]:
    """The newest ends of holds and changes of accounts (at most 1000), newest first.

    With `after` or `before` (ids of entries) or `since` (Unix milliseconds): those in between,
    oldest first, so that the last one's `entry` is the next page's `after`. With
    `Accept: text/csv` or `format=csv`: all in between as one file, oldest first, whatever `limit`.
    """
    if not 1 <= limit <= _PAGE_MAX:
        raise InvalidInput(f"expected an integer from 1 to {_PAGE_MAX}", field="limit")
    for field, entry in (("after", after), ("before", before)):
        if entry:
            check_entry(entry, field)
    _check_moment(since, "since")
    await workspaces.locate(gateway.store, ws)
    if format == "csv" or "text/csv" in request.headers.get("accept", ""):
        return _file(gateway, ws, after, before, since)
    if not (after or before or since):
        return Response(await read_ledger(gateway.store, ws, limit=limit))
    walk = walk_ledger(gateway.store, ws, after=after, before=before, since_ms=since, at_once=limit)
    async with aclosing(walk) as pages:
        return Response(await anext(pages, []))


def _file(gateway: Gateway, ws: str, after: str, before: str, since: int) -> Response[Any]:
    """Should it break off, the connection does, too, so that no half file passes for a whole."""

    async def chunks() -> AsyncIterator[str]:
        yield csv_head()
        async for page in walk_ledger(
            gateway.store, ws, after=after, before=before, since_ms=since, at_once=_CHUNK
        ):
            yield csv_rows(page)

    name = f'attachment; filename="ledger-{ws}.csv"'
    stream = Stream(chunks(), media_type="text/csv", headers={"Content-Disposition": name})
    return cast("Response[Any]", stream)


def _check_moment(moment_ms: int, field: str) -> None:
    if not 0 <= moment_ms < _MOMENT_MAX:
        raise InvalidInput("expected Unix milliseconds", field=field)


@get(_BUDGET + "/spenders", tags=["budgets"], responses=problems(404, 422))
async def budget_spenders(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    by: FromQuery[Literal["session", "agent", "model"]] = "session",
    since: FromQuery[int] = 0,
    until: FromQuery[int] = 0,
    limit: FromQuery[int] = 20,
) -> Spending:
    """Who spent most (`since` and `until` are Unix milliseconds): sessions, agents, or models.

    Tools with a price stand beside the models. What was trimmed from the ledger is not counted.
    """
    if not 1 <= limit <= _SPENDERS_MAX:
        raise InvalidInput(f"expected an integer from 1 to {_SPENDERS_MAX}", field="limit")
    _check_moment(since, "since")
    _check_moment(until, "until")
    await workspaces.locate(gateway.store, ws)
    return await read_spending(
        gateway.store, ws, by=by, since_ms=since, until_ms=until, limit=limit
    )


@get(
    _BUDGET + "/audit",
    guards=[require_admin],
    tags=["budgets"],
    responses=problems(403, 404, 409),
)
async def audit_budget(gateway: NamedDependency[Gateway], ws: FromPath[str]) -> BudgetAudit:
    """Compute every account anew from the ledger and the open holds, and name what differs.

    It is exact while the workspace is busy. Needs an administrator's key: it reads the whole ledger
    since the last checkpoint.
    """
    await workspaces.locate(gateway.store, ws)
    return await audit_budgets(gateway.store, ws)


@post(
    _BUDGET + "/checkpoint",
    status_code=200,
    guards=[require_admin],
    tags=["budgets"],
    responses=problems(403, 404, 409, with_body=True),
)
async def checkpoint_ledger(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[CheckpointWish | None, body({"force": False})] = None,
) -> Checkpoint:
    """Write into the ledger what every account has spent, so that the entries before may go.

    It audits first, and is refused while something differs. The body is optional. Needs an
    administrator's key.
    """
    await workspaces.locate(gateway.store, ws)
    return await make_checkpoint(gateway.store, ws, force=(data or CheckpointWish()).force)


@post(
    _BUDGET + "/trim",
    status_code=200,
    guards=[require_admin],
    tags=["budgets"],
    responses=problems(403, 404, 409, with_body=True),
)
async def trim_budget_ledger(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[Trim, body({"checkpoint": "1700000000000-0"})],
) -> Trimmed:
    """Drop the entries before a checkpoint for good: store them elsewhere first.

    At most 50,000 at once; ask again while there is `more`. Needs an administrator's key.
    """
    check_entry(data.checkpoint, "checkpoint")
    await workspaces.locate(gateway.store, ws)
    return await trim_ledger(gateway.store, ws, data.checkpoint)


HANDLERS: list[ControllerRouterHandler] = [
    workspace_ledger,
    budget_spenders,
    audit_budget,
    checkpoint_ledger,
    trim_budget_ledger,
]
