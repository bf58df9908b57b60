"""How a stream is opened: checks that can still be answered by a problem, then the first place."""

from contextlib import ExitStack

from bursar.events import parse_cursor
from bursar_gateway.auth import bearer
from bursar_gateway.gateway import Gateway
from bursar_gateway.requests import JsonRequest
from bursar_gateway.stream import EventStream, Limits
from bursar_gateway.subscription import Subscription
from bursar_gateway.watched import Opening, Watched

__all__ = ["build_stream", "open_stream"]


async def open_stream(
    gateway: Gateway, request: JsonRequest, watched: Watched, cursor: str
) -> EventStream:
    """Stream from ``cursor``, or from the start if it is empty.

    A cursor of another generation or from the future belongs to events that this store does not
    have: the client is told to start anew.

    Raises:
        NotFound: nothing is there to watch.
        InvalidInput: the cursor is none.
        LimitReached: too many streams are open.

    """
    with ExitStack() as holding:
        holding.enter_context(gateway.admission.streaming(request.user.id))
        opening, reset = await _begin(gateway, watched, cursor)
        subscription = await gateway.hub.subscribe(*watched.logs)
        holding.callback(gateway.hub.leave, subscription)
        subscription.start(opening.after, behind=True)
        return build_stream(
            gateway,
            request,
            subscription,
            watched,
            opening=opening,
            holding=holding.pop_all(),
            reset=reset,
            fresh=not cursor,
        )


async def _begin(gateway: Gateway, watched: Watched, cursor: str) -> tuple[Opening, str]:
    """Where to begin, and why that is not at the cursor, if it is not."""
    store = gateway.store
    if not cursor:
        return await watched.opening(store), ""
    generation, after = parse_cursor(cursor, logs=len(watched.logs))
    newest = await watched.newest(store)
    ahead = any(seq > last for seq, last in zip(after, newest, strict=True))
    reset = "generation" if generation != store.generation else "ahead" if ahead else ""
    return (await watched.opening(store) if reset else Opening(after)), reset


def build_stream(
    gateway: Gateway,
    request: JsonRequest,
    subscription: Subscription,
    watched: Watched,
    *,
    opening: Opening,
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
        opening=opening,
        holding=holding,
        reset=reset,
        fresh=fresh,
        headers=headers,
    )
