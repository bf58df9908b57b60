"""Sessions and their messages."""

from typing import Annotated

from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.types import ControllerRouterHandler

from bursar import history, sessions, workspaces
from bursar.listing import SessionPage, list_sessions
from bursar.messages import AssistantMessage, Message, UserMessage
from bursar.pruning import delete_tree
from bursar.sessions import SessionView
from bursar.tree_views import TreeView, read_tree
from bursar_gateway.bodies import (
    Added,
    NewMessage,
    NewSession,
    SessionEnd,
    SessionPatch,
)
from bursar_gateway.gateway import Gateway
from bursar_gateway.idempotency import IdempotencyKey, idempotency
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]

_ALL = "/workspaces/{ws:str}/sessions"
_ONE = _ALL + "/{sid:str}"


@post(_ALL, tags=["sessions"], responses=problems(404, 409, 429, with_body=True))
async def create_session(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[NewSession, body({"agent": "reader", "user": "ann", "title": "Reports"})],
    idempotency_key: IdempotencyKey = None,
) -> SessionView:
    """Create a session."""
    once = await idempotency(request, idempotency_key, route="sessions")
    return await sessions.create(
        gateway.store, gateway.registry, ws, data, once, actor=request.user.actor
    )


@get(_ALL, tags=["sessions"], responses=problems(404, 422))
async def get_sessions(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    user: FromQuery[str] = "",
    in_state: Annotated[str, QueryParameter(name="state")] = "",
    workspace_path: FromQuery[str] = "",
    roots: FromQuery[bool] = False,
    cursor: FromQuery[str] = "",
    limit: FromQuery[int] = 50,
) -> SessionPage:
    """Sessions by activity, newest first. `cursor` of one page asks for the next.

    `roots` leaves out those below others.
    """
    await workspaces.locate(gateway.store, ws)
    return await list_sessions(
        gateway.store,
        ws,
        user=user,
        state=in_state,
        workspace_path=workspace_path,
        roots=roots,
        cursor=cursor,
        limit=limit,
    )


@get(_ONE, tags=["sessions"], responses=problems(404))
async def get_session(
    gateway: NamedDependency[Gateway], ws: FromPath[str], sid: FromPath[str]
) -> SessionView:
    """One session."""
    return await sessions.get(gateway.store, ws, sid)


@patch(_ONE, tags=["sessions"], responses=problems(404, with_body=True))
async def patch_session(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    sid: FromPath[str],
    data: Annotated[SessionPatch, body({"title": "Quarterly reports", "tags": ["finance"]})],
) -> SessionView:
    """Change title, tags or custom data; what is left out stays."""
    return await sessions.patch(
        gateway.store, ws, sid, title=data.title, tags=data.tags, custom=data.custom
    )


@delete(_ONE, tags=["sessions"], responses=problems(404, 409))
async def delete_session(
    request: JsonRequest, gateway: NamedDependency[Gateway], ws: FromPath[str], sid: FromPath[str]
) -> None:
    """Delete an idle or ended session with its messages, and all that is below it.

    Ledger and audit entries stay.
    """
    await delete_tree(gateway.store, ws, sid, actor=request.user.actor)


@post(_ONE + "/end", status_code=200, tags=["sessions"], responses=problems(404, with_body=True))
async def end_session(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    sid: FromPath[str],
    data: Annotated[SessionEnd | None, body({"force": False})] = None,
) -> SessionView:
    """Accept no more inputs, and end when those accepted before are done; the body is optional."""
    force = bool(data and data.force)
    await gateway.inputs.end(ws, sid, force=force, actor=request.user.actor)
    return await sessions.get(gateway.store, ws, sid)


@post(_ONE + "/clear", status_code=200, tags=["sessions"], responses=problems(404, 409))
async def clear_session(
    gateway: NamedDependency[Gateway], ws: FromPath[str], sid: FromPath[str]
) -> SessionView:
    """Start a new context. The history stays readable; the model sees nothing of it."""
    return await sessions.clear(gateway.store, ws, sid)


@get(_ONE + "/tree", tags=["sessions"], responses=problems(404, 422))
async def get_session_tree(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    sid: FromPath[str],
    live: FromQuery[bool] = False,
    cursor: FromQuery[str] = "",
    limit: FromQuery[int] = 1000,
) -> TreeView:
    """A session and all below it as they are now, a page at a time, in the order of their opening.

    `live` leaves out what has ended; `totals` counts it all the same. `purse` is that of the root,
    from which all spend.
    """
    return await read_tree(gateway.store, ws, sid, live=live, cursor=cursor, limit=limit)


@get(_ONE + "/messages", tags=["messages"], responses=problems(404, 422))
async def get_messages(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    sid: FromPath[str],
    last: FromQuery[int] = 50,
) -> list[Message]:
    """The newest `last` messages (at most 1000), oldest of them first."""
    return await history.read_messages(gateway.store, ws, sid, last=last)


@post(_ONE + "/messages", tags=["messages"], responses=problems(404, 409, with_body=True))
async def add_message(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    sid: FromPath[str],
    data: Annotated[NewMessage, body({"role": "user", "text": "For your information: …"})],
    idempotency_key: IdempotencyKey = None,
) -> Added:
    """Add a message without starting a turn. Refused while a turn is under way."""
    once = await idempotency(request, idempotency_key, route="messages")
    kind = UserMessage if data.role == "user" else AssistantMessage
    return Added(await history.add_message(gateway.store, ws, sid, kind(data.text), once))


HANDLERS: list[ControllerRouterHandler] = [
    create_session,
    get_sessions,
    get_session,
    patch_session,
    delete_session,
    end_session,
    clear_session,
    get_session_tree,
    get_messages,
    add_message,
]
