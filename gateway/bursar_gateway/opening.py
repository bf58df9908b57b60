"""How a stream is opened: checks that can still be answered by a problem, then the first place."""

from contextlib import ExitStack

from bursar.errors import NotFound
from bursar.events import parse_cursor, read_head
from bursar_gateway.auth import bearer
from bursar_gateway.gateway import Gateway
from bursar_gateway.requests import JsonRequest
from bursar_gateway.stream import EventStream, Limits, Watched
from bursar_gateway.subscription import Subscription

__all__ = ["build_stream", "open_stream"]


async def open_stream(
    gateway: Gateway, request: JsonRequest, watched: Watched, cursor: str
) -> EventStream:
    """Stream from ``cursor``, or from the start of the log if it is empty.

    A cursor of another generation or from the future belongs to events that this store does not
    have: the client is told to start anew.

    Raises:
        NotFound: no such session.
        InvalidInput: the cursor is none.
        LimitReached: too many streams are open.

    """
    with ExitStack() as holding:
        holding.enter_context(gateway.admission.streaming(request.user.id))
        after, reset = await _place(gateway, watched, cursor)
        subscription = await gateway.hub.subscribe(watched.session)
        holding.callback(gateway.hub.leave, subscription)
        subscription.start(after, behind=True)
        return build_stream(
            gateway,
            request,
            subscription,
            watched,
            holding=holding.pop_all(),
            reset=reset,
            fresh=not cursor,
        )


async def _place(gateway: Gateway, watched: Watched, cursor: str) -> tuple[int, str]:
    """After which event to start, and why that is not the cursor's, if it is not."""
    if not cursor:
        if not watched.turn:
            await read_head(gateway.store, watched.session)
        return 0, ""
    generation, after = parse_cursor(cursor)
    newest, _ = await _head(gateway, watched)
    if generation != gateway.store.generation:
        return 0, "generation"
    return (0, "ahead") if after > newest else (after, "")


async def _head(gateway: Gateway, watched: Watched) -> tuple[int, str]:
    """As `read_head`; a turn's record outlives its session, and so does its stream."""
    try:
        return await read_head(gateway.store, watched.session)
    except NotFound:
        if watched.turn:
            return 0, "ended"
        raise


def build_stream(
    gateway: Gateway,
    request: JsonRequest,
    subscription: Subscription,
    watched: Watched,
    *,
    holding: ExitStack,
    reset: str = "",
    fresh: bool,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> EventStream:
    token = bearer(request)
    settings = gateway.settings
    return EventStream(
        gateway.store,
        subscription,
        watched,
        limits=Limits(settings.ping_every_s, settings.stream_send_timeout_s),
        recheck=lambda: gateway.keys.verify(token),
        holding=holding,
        reset=reset,
        fresh=fresh,
        headers=headers,
    )
