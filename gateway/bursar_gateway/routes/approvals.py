"""Questions to people about tool calls, and their answers."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler

from bursar import workspaces
from bursar.gate import approvals
from bursar.gate.answers import Decision
from bursar.gate.approvals import ApprovalView
from bursar.ids import check_id, check_session
from bursar.sessions import read_facts
from bursar_gateway.auth import require_approver
from bursar_gateway.gateway import Gateway
from bursar_gateway.idempotency import IdempotencyKey, change_id
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]

_MANY = "/workspaces/{ws:str}/approvals"
_ONE = _MANY + "/{approval:str}"
_SHA = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@get(_MANY, tags=["approvals"], responses=problems(404))
async def list_approvals(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    root: FromQuery[str] = "",
    session: FromQuery[str] = "",
) -> list[ApprovalView]:
    """Open questions, the most urgent first.

    Of the workspace, of a session's whole tree (`root`), or of one session.
    """
    workspace = await workspaces.locate(gateway.store, ws)
    for value, field in ((root, "root"), (session, "session")):
        if value:
            check_id(value, field)
    return await approvals.list_open(gateway.store, workspace, root=root, session=session)


@get(
    "/workspaces/{ws:str}/sessions/{sid:str}/approvals", tags=["approvals"], responses=problems(404)
)
async def session_approvals(
    gateway: NamedDependency[Gateway], ws: FromPath[str], sid: FromPath[str]
) -> list[ApprovalView]:
    """Open questions of a session and of all below it."""
    workspace = gateway.store.workspace(ws)
    session = workspace.session(check_session(sid))
    await read_facts(gateway.store, session)
    found = await approvals.list_open(gateway.store, workspace)
    return [view for view in found if sid in {view.session, view.root, *view.chain}]


@get(_ONE, tags=["approvals"], responses=problems(404))
async def get_approval(
    gateway: NamedDependency[Gateway], ws: FromPath[str], approval: FromPath[str]
) -> ApprovalView:
    """One question, open or not, with the call in full. It stays for a week after its end."""
    return await approvals.get(gateway.store, gateway.store.workspace(ws), approval)


@post(
    _ONE,
    status_code=200,
    guards=[require_approver],
    tags=["approvals"],
    responses=problems(403, 404, 409, with_body=True),
)
async def answer_approval(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    approval: FromPath[str],
    data: Annotated[
        Decision,
        body(
            {"decision": "approve", "arguments_sha256": _SHA, "scope": "session"},
            {"decision": "deny", "arguments_sha256": _SHA, "reason": "not on a Friday"},
        ),
    ],
    idempotency_key: IdempotencyKey = None,
) -> ApprovalView:
    """Answer a question; exactly one answer counts. Needs an approver's key.

    `arguments_sha256` is that of the question as you saw it. A second answer is refused with who
    gave the first (`already_answered`); a question that is closed takes none (`approval_closed`).
    """
    workspace = gateway.store.workspace(ws)
    return await gateway.answers.answer(
        workspace,
        approval,
        data,
        by=request.user.actor,
        answer_id=change_id(request, idempotency_key),
    )


HANDLERS: list[ControllerRouterHandler] = [
    list_approvals,
    session_approvals,
    get_approval,
    answer_approval,
]
