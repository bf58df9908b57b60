"""How a stream is opened: checks that can still be answered by a problem, then the first place."""

from bursar.errors import NotFound
from bursar.events import parse_cursor, read_head
from bursar_gateway.auth import bearer
from bursar_gateway.gateway import Gateway
from bursar_gateway.requests import JsonRequest
from bursar_gateway.stream import EventStream, Limits, Watched
from bursar_gateway.subscription import Subscription

__all__ = ["StreamOpener"]


class StreamOpener:
    """Opens streams with the limits of this gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        settings = gateway.settings
        self._limits = Limits(settings.ping_every_s, settings.stream_send_timeout_s)

    async def open(self, request: JsonRequest, watched: Watched, cursor: str) -> EventStream:
        """Stream from ``cursor``, or from the start of the log if it is empty.

        A cursor of another generation or from the future belongs to events that this store does not
        have: the client is told to start anew.

        Raises:
            NotFound: no such session.
            InvalidInput: the cursor is none.

        """
        gateway = self._gateway
        after, reset = 0, ""
        if cursor:
            generation, after = parse_cursor(cursor)
            newest, _ = await self._head(watched)
            if generation != gateway.store.generation:
                after, reset = 0, "generation"
            elif after > newest:
                after, reset = 0, "ahead"
        elif not watched.turn:
            await read_head(gateway.store, watched.session)
        subscription = await gateway.hub.subscribe(watched.session)
        subscription.start(after, behind=True)
        return self.build(request, subscription, watched, reset=reset, fresh=not cursor)

    async def _head(self, watched: Watched) -> tuple[int, str]:
        """As `read_head`; a turn's record outlives its session, and so does its stream."""
        try:
            return await read_head(self._gateway.store, watched.session)
        except NotFound:
            if watched.turn:
                return 0, "ended"
            raise

    def build(
        self,
        request: JsonRequest,
        subscription: Subscription,
        watched: Watched,
        *,
        reset: str = "",
        fresh: bool,
        headers: list[tuple[bytes, bytes]] | None = None,
    ) -> EventStream:
        token = bearer(request)
        return EventStream(
            self._gateway.hub,
            self._gateway.store,
            subscription,
            watched,
            limits=self._limits,
            recheck=lambda: self._gateway.keys.verify(token),
            reset=reset,
            fresh=fresh,
            headers=headers,
        )
