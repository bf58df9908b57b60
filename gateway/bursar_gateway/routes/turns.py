"""Turns: the way in, and what became of them."""

from contextlib import ExitStack
from typing import Annotated, NamedTuple

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler

from bursar import turns
from bursar.events import read_head
from bursar.messages import UserMessage
from bursar.sessions import locate
from bursar.store.keys import SessionKeys, TreeKeys
from bursar.store.scripts.inputs import Accepted
from bursar.store.scripts.sessions import Idempotency
from bursar.store.store import Store
from bursar.turns import TurnView
from bursar_gateway.bodies import NewTurn, TurnAccepted, TurnCancel
from bursar_gateway.gateway import Gateway
from bursar_gateway.idempotency import IdempotencyKey, idempotency
from bursar_gateway.openapi import body, problems
from bursar_gateway.opening import build_stream
from bursar_gateway.requests import JsonRequest
from bursar_gateway.stream import StreamResponse
from bursar_gateway.watched import Opening, WatchedTurn, logs_of

__all__ = ["HANDLERS"]

_INJECTED = {"input": "Only those of this year.", "if_busy": "inject"}
_ONE = "/workspaces/{ws:str}/turns/{tid:str}"


@post(
    "/workspaces/{ws:str}/sessions/{sid:str}/turns",
    status_code=202,
    tags=["turns"],
    responses=problems(404, 409, 429, with_body=True),
)
async def create_turn(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    sid: FromPath[str],
    data: Annotated[NewTurn, body({"input": "Summarise the reports."}, _INJECTED)],
    tree: FromQuery[bool] = False,
    idempotency_key: IdempotencyKey = None,
) -> Response[TurnAccepted]:
    """Accept an input: it is stored when this answers, and runs after those before it.

    `if_busy` says what else may happen beside a turn that is under way. With
    `Accept: text/event-stream` the answer is the turn's events from `turn.queued` to its terminal
    event instead; those of a turn that was joined, from there on. Going away cancels nothing.
    With `tree` that stream has the events of what the turn spawns, too.
    """
    once = Idempotency()
    if idempotency_key is not None:
        once = await idempotency(request, idempotency_key, route="turns")
    await gateway.admission.admit_input()
    message = UserMessage(data.input, custom=data.custom)
    if "text/event-stream" in request.headers.get("accept", ""):
        wish = _Wish(message, once, data.if_busy, tree)
        return await _stream(request, gateway, locate(gateway.store, ws, sid), wish)
    accepted = await gateway.inputs.put(ws, sid, message, once, if_busy=data.if_busy)
    status_url = _url(ws, accepted.turn)
    return Response(
        TurnAccepted(
            accepted.turn, sid, status_url, f"{status_url}/events", joined=accepted.joined
        ),
        headers={"Location": status_url},
    )


class _Wish(NamedTuple):
    """An input whose turn is to be streamed, with what it spawns if ``tree`` says so."""

    message: UserMessage
    once: Idempotency
    if_busy: str
    tree: bool


async def _stream(
    request: JsonRequest, gateway: Gateway, session: SessionKeys, wish: _Wish
) -> StreamResponse:
    """Listen first and put then, so that no event can slip through in between."""
    ws = session.workspace.id
    with ExitStack() as holding:
        holding.enter_context(gateway.admission.streaming(request.user.id))
        subscription = await gateway.hub.subscribe(*logs_of(session, tree=wish.tree))
        holding.callback(gateway.hub.leave, subscription)
        # What a turn spawns comes after its input.
        before = await _tree_seq(gateway.store, session) if wish.tree else 0
        accepted: Accepted = await gateway.inputs.put(
            ws, session.id, wish.message, wish.once, if_busy=wish.if_busy
        )
        repeated = accepted.outcome == "repeat"
        # A turn that was joined is streamed from there on: what was before is not this client's.
        after = [accepted.seq if accepted.joined else max(accepted.seq - 1, 0)]
        after += [0 if repeated and not accepted.joined else before] if wish.tree else []
        subscription.start(after, behind=repeated)
        stream = build_stream(
            gateway,
            request,
            subscription,
            WatchedTurn(session, accepted.turn, tree=wish.tree),
            opening=Opening(tuple(after)),
            holding=holding.pop_all(),
            fresh=not accepted.joined,
            headers=[(b"location", _url(ws, accepted.turn).encode())],
        )
    return StreamResponse(stream)


async def _tree_seq(store: Store, session: SessionKeys) -> int:
    seq, _ = await read_head(store, TreeKeys(session))
    return seq


@get(_ONE, tags=["turns"], responses=problems(404))
async def get_turn(
    gateway: NamedDependency[Gateway], ws: FromPath[str], tid: FromPath[str]
) -> TurnView:
    """A turn, with the agent's last text once it has ended."""
    return await turns.get(gateway.store, ws, tid)


@post(_ONE + "/cancel", status_code=202, tags=["turns"], responses=problems(404, with_body=True))
async def cancel_turn(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    tid: FromPath[str],
    data: Annotated[TurnCancel | None, body({"reason": "not needed any more"})] = None,
) -> TurnView:
    """Record that the turn is to be cancelled. One that has ended stays as it ended."""
    reason = (data or TurnCancel()).reason
    return await gateway.inputs.cancel(ws, tid, reason, actor=request.user.actor)


def _url(ws: str, tid: str) -> str:
    return f"/v1/workspaces/{ws}/turns/{tid}"


HANDLERS: list[ControllerRouterHandler] = [create_turn, get_turn, cancel_turn]
