"""Event streams of sessions, of turns and of a workspace's questions."""

from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter
from litestar.types import ControllerRouterHandler

from bursar import turns
from bursar.errors import NotFound
from bursar.ids import check_id
from bursar.sessions import locate
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import problems
from bursar_gateway.opening import open_stream
from bursar_gateway.requests import JsonRequest
from bursar_gateway.stream import StreamResponse
from bursar_gateway.watched import Watched, WatchedFeed, WatchedSession, WatchedTurn

__all__ = ["HANDLERS"]

LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        description="Go on after this event. `after` in the query does the same.",
    ),
]


@get(
    "/workspaces/{ws:str}/sessions/{sid:str}/events",
    media_type="text/event-stream",
    tags=["events"],
    responses=problems(404, 422, 429),
)
async def session_events(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    sid: FromPath[str],
    turn: FromQuery[str] = "",
    tree: FromQuery[bool] = False,
    after: FromQuery[str] = "",
    last_event_id: LastEventId = None,
) -> Response[None]:
    """Events of a session from the start of its log, or from a cursor, until `session.ended`.

    `turn` leaves only those of one turn and ends with its terminal event. With `tree` come those of
    all sessions below, but for their streamed text; ids are `<generation>-<seq>.<tree_seq>` then.
    Events that the log no longer holds are announced by `gap`, a cursor that cannot be resumed by
    `reset`.
    """
    session = locate(gateway.store, ws, sid)
    if turn and (await turns.get(gateway.store, ws, turn)).session != sid:
        raise NotFound("no such turn in this session", code="turn_not_found")
    watched: Watched = (
        WatchedTurn(session, turn, tree=tree) if turn else WatchedSession(session, tree=tree)
    )
    return StreamResponse(await open_stream(gateway, request, watched, last_event_id or after))


@get(
    "/workspaces/{ws:str}/turns/{tid:str}/events",
    media_type="text/event-stream",
    tags=["events"],
    responses=problems(404, 422, 429),
)
async def turn_events(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    tid: FromPath[str],
    tree: FromQuery[bool] = False,
    after: FromQuery[str] = "",
    last_event_id: LastEventId = None,
) -> Response[None]:
    """Events of one turn, to its terminal event; also long after it has ended.

    With `tree` come those of all sessions that it has spawned and waits for, as for a session.
    """
    turn = await turns.get(gateway.store, ws, tid)
    watched = WatchedTurn(locate(gateway.store, ws, turn.session), tid, tree=tree)
    return StreamResponse(await open_stream(gateway, request, watched, last_event_id or after))


@get(
    "/workspaces/{ws:str}/approvals/events",
    media_type="text/event-stream",
    tags=["approvals"],
    responses=problems(404, 422, 429),
)
async def approval_events(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    root: FromQuery[str] = "",
    after: FromQuery[str] = "",
    last_event_id: LastEventId = None,
) -> Response[None]:
    """Questions of a workspace, or of one session's tree (`root`), as they come and go; endless.

    Without a cursor it begins with an `approval.requested` for each question that is open now, the
    oldest first. One that is cut off before their end has no cursor and begins so again.
    """
    if root:
        check_id(root, "root")
    watched = WatchedFeed(gateway.store.workspace(ws), root)
    return StreamResponse(await open_stream(gateway, request, watched, last_event_id or after))


HANDLERS: list[ControllerRouterHandler] = [session_events, turn_events, approval_events]
