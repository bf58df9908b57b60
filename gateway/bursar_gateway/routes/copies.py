"""Sessions made of other ones: forks, and documents that leave and come back."""

from typing import Annotated, Any, cast

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from bursar import workspaces
from bursar.documents import SessionDocument, read_document
from bursar.forking import fork
from bursar.portability import ImportOptions
from bursar.portability import export_session as export
from bursar.portability import import_session as import_document
from bursar.sessions import SessionView
from bursar_gateway.bodies import SessionFork
from bursar_gateway.gateway import Gateway
from bursar_gateway.idempotency import IdempotencyKey, idempotency
from bursar_gateway.openapi import body, problems
from bursar_gateway.problems import MalformedJson
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS", "import_session"]

_ALL = "/workspaces/{ws:str}/sessions"
_ONE = _ALL + "/{sid:str}"
_EXAMPLE = {
    "schema_version": 1,
    "session": {"id": "restored", "agent": "reader", "user": "ann", "title": "Reports"},
    "messages": [
        {"role": "user", "text": "Summarise the reports."},
        {"role": "assistant", "text": "There are three of them: …"},
    ],
}


class _DocumentRequest(JsonRequest):
    """Its version is looked at before the rest of a document, which may be a newer one's."""

    async def json(self) -> Any:
        try:
            return read_document(await self.body())
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise MalformedJson(f"the body is not JSON: {error}") from None


@post(_ONE + "/fork", tags=["sessions"], responses=problems(404, 409, 429, with_body=True))
async def fork_session(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    sid: FromPath[str],
    data: Annotated[SessionFork | None, body({"title": "Another way"})] = None,
    idempotency_key: IdempotencyKey = None,
) -> SessionView:
    """Make a new session that goes on from a message of this one; the body is optional.

    Its history is this one's up to and including message `at`, by default all that there are. What
    is not given is as here, the limits too. It has spent nothing, and nothing is allowed to it. A
    point between a tool call and its result is refused (`inside_step`), with the nearest points
    `before` and `after` it.
    """
    once = await idempotency(request, idempotency_key, route="forks")
    return await fork(
        gateway.store,
        gateway.registry,
        ws,
        sid,
        data or SessionFork(),
        once,
        actor=request.user.actor,
    )


@get(
    _ONE + "/export",
    tags=["sessions"],
    responses={
        **problems(404),
        200: ResponseSpec(
            SessionDocument,
            description="The document, of which no part is missing if it ends.",
            generate_examples=False,
        ),
    },
)
async def export_session(
    gateway: NamedDependency[Gateway], ws: FromPath[str], sid: FromPath[str]
) -> Response[Any]:
    """The session as one JSON document, which can be imported again.

    It has all messages up to the last step that is complete, and no grants, secrets, leases or text
    of context providers. `budget` is information.
    """
    await workspaces.locate(gateway.store, ws)
    pieces = await export(gateway.store, ws, sid)
    headers = {"Content-Disposition": f'attachment; filename="session-{sid}.json"'}
    return cast("Response[Any]", Stream(pieces, media_type="application/json", headers=headers))


@post(
    _ALL + "/import",
    tags=["sessions"],
    request_class=_DocumentRequest,
    responses=problems(404, 409, 429, with_body=True),
)
async def import_session(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[SessionDocument, body(_EXAMPLE)],
    new_id: FromQuery[bool] = False,
    limit_microusd: FromQuery[int | None] = None,
    token_limit: FromQuery[int | None] = None,
    idempotency_key: IdempotencyKey = None,
) -> SessionView:
    """Make a session of a document that was exported, under its id or, with `new_id`, another one.

    A session that exists is never changed: its id is a conflict. The new one has an account of its
    own, with the limits given here or else the usual ones; what the document says was spent is kept
    as information. A document may be larger than other bodies (`BURSAR_MAX_IMPORT_BYTES`).
    """
    await workspaces.locate(gateway.store, ws)
    once = await idempotency(request, idempotency_key, route="imports")
    options = ImportOptions(new_id, limit_microusd, token_limit)
    return await import_document(
        gateway.store, gateway.registry, ws, data, options, once, actor=request.user.actor
    )


HANDLERS: list[ControllerRouterHandler] = [fork_session, export_session]
