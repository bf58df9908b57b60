"""How a stream is opened: checks that can still be answered by a problem, then the first place."""

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
    gateway.admission.admit_stream(request.user.id)
    after, reset = 0, ""
    if cursor:
        generation, after = parse_cursor(cursor)
        newest, _ = await _head(gateway, watched)
        if generation != gateway.store.generation:
            after, reset = 0, "generation"
        elif after > newest:
            after, reset = 0, "ahead"
    elif not watched.turn:
        await read_head(gateway.store, watched.session)
    subscription = await gateway.hub.subscribe(watched.session)
    subscription.start(after, behind=True)
    return build_stream(gateway, request, subscription, watched, reset=reset, fresh=not cursor)


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
    reset: str = "",
    fresh: bool,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> EventStream:
    token, key = bearer(request), request.user.id
    settings = gateway.settings
    return EventStream(
        gateway.hub,
        gateway.store,
        subscription,
        watched,
        limits=Limits(settings.ping_every_s, settings.stream_send_timeout_s),
        recheck=lambda: gateway.keys.verify(token),
        counted=lambda: gateway.admission.streaming(key),
        reset=reset,
        fresh=fresh,
        headers=headers,
    )
