"""Server-sent events: what is watched, from a cursor to its end.

Whatever happens to the connection between Redis and here, a client gets each event once and in
order, or is told what it missed. A client that goes away cancels nothing; one that does not read is
cut off, and resumes with the id of the last event that it saw.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from litestar import Response
from litestar.types import ASGIApp, Receive, Scope, Send

from bursar.clock import monotonic_s, wall_ms
from bursar.errors import BursarError, Denied, NotFound, StoreUnavailable
from bursar.events import LoggedEvent, event_id
from bursar.store.codec import encode_json
from bursar.store.store import Store
from bursar_gateway.subscription import Gap, Heard, Subscription
from bursar_gateway.watched import Opening, Watched

__all__ = ["EventStream", "Limits", "StreamResponse"]

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_RETRY = b"retry: 1000\n\n"
_PING = b": ping\n\n"
_OUTAGE_WAIT_S = 1.0
_RECHECK_S = 1.0


@dataclass(frozen=True)
class Limits:
    ping_every_s: float
    send_timeout_s: float


class EventStream:
    """One stream, as an ASGI application. `subscription` was started by the caller.

    Args:
        opening: after which event of each log it begins.
        reset: why the client's cursor cannot be resumed; it is told so and starts anew.
        fresh: the client has no cursor, so events before the watched turn are no loss to it.
        recheck: raises `Denied` once the caller's key was revoked.
        holding: what the stream holds, given back at its end.

    """

    def __init__(
        self,
        store: Store,
        subscription: Subscription,
        watched: Watched,
        *,
        limits: Limits,
        recheck: Callable[[], Awaitable[object]],
        holding: ExitStack,
        opening: Opening,
        reset: str = "",
        fresh: bool = False,
        headers: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        self._store = store
        self._subscription = subscription
        self._watched = watched
        self._limits = limits
        self._recheck = recheck
        self._holding = holding
        self._rechecked_s = monotonic_s()
        self._generation = store.generation
        self._opening = opening
        self._opened = True
        self._reset = reset
        self._headers = [*_HEADERS, *(headers or [])]
        self._at = list(opening.after)
        """The last event of each log that the client has, or was not to be shown."""
        self._shows = watched.shows
        self._last_kinds = watched.last_kinds
        self._last: LoggedEvent | None = None
        """What the stream ends with, once all that the other logs have before it is sent."""
        self._end: LoggedEvent | None = None
        """The same made from state, should the log not have it."""
        # Until the turn's first event shows whether the gap took anything of the turn.
        self._undecided: Gap | None = None
        self._seen_turn = not (fresh and watched.turn)
        self._is_full: Callable[[], bool] = lambda: True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions: dict[str, Any] = scope.get("extensions") or {}
        connection: dict[str, Callable[[], Any]] = extensions.get("bursar.connection", {})
        self._is_full = connection.get("is_full", self._is_full)
        watcher = asyncio.create_task(self._until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            start = self._render_reset(self._reset) if self._reset else b""
            await self._send(send, _RETRY + start + self._render_opening())
            await self._run(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            # Closing in good order would wait for a client that does not read.
            if "abort" in connection:
                connection["abort"]()
        finally:
            self._holding.close()
            watcher.cancel()

    async def _run(self, send: Send) -> None:
        subscription = self._subscription
        while not subscription.closed:
            waiting = subscription.take()
            if waiting:
                if not await self._learn(waiting, send):
                    return
                chunk = self._render(waiting)
                over = self._last is not None and not subscription.owes_beside(0)
                if over:
                    chunk += self._render_end()
                if chunk and not await self._allowed():
                    return
                await self._send(send, chunk)
                if over:
                    return
            elif subscription.behind:
                await self._catch_up(send)
            elif self._last is not None or self._end is not None:
                await self._send(send, self._render_end())
                return
            elif not await subscription.wait(self._limits.ping_every_s):
                if not await self._allowed():
                    return
                await self._send(send, _PING)

    async def _learn(self, waiting: list[Heard], send: Send) -> bool:
        """Find out which of these events are shown; False: the stream was closed meanwhile."""
        while sids := self._watched.unknown(waiting):
            try:
                await self._watched.learn(self._store, sids)
            except StoreUnavailable:
                await self._sit_out(send)
            if self._subscription.closed:
                return False
        return True

    async def _catch_up(self, send: Send) -> None:
        """Read the state, then a page of the logs: so a terminal state means complete logs."""
        subscription = self._subscription
        if self._generation != self._store.generation:
            self._generation = self._store.generation
            self._opened = False
            self._last = None
            subscription.start(self._watched.from_the_start().after, behind=True)
            await self._send(send, self._render_reset("generation"))
        try:
            if not self._opened:
                self._opening = await self._watched.opening(self._store)
                self._opened = True
                self._at = list(self._opening.after)
                subscription.start(self._opening.after, behind=True)
                await self._send(send, self._render_opening())
            if self._last is None and self._end is None:
                self._end = await self._watched.end(self._store)
            await subscription.fill(self._store)
        except NotFound:
            subscription.give_up()
            self._end = self._end or self._watched.gone(subscription.position[0])
            if self._last is None and self._end is None:
                subscription.close()
        except StoreUnavailable:
            await self._sit_out(send)

    async def _sit_out(self, send: Send) -> None:
        await self._subscription.wait(min(_OUTAGE_WAIT_S, self._limits.ping_every_s))
        await self._send(send, _PING)

    async def _allowed(self) -> bool:
        now = monotonic_s()
        if now - self._rechecked_s < _RECHECK_S:
            return True
        self._rechecked_s = now
        try:
            await self._recheck()
        except Denied:
            return False
        except BursarError:
            return True  # The store is away: nobody can have revoked anything meanwhile.
        return True

    def _render(self, waiting: list[Heard]) -> bytes:
        parts: list[bytes] = []
        for log, item in waiting:
            if log == 0 and self._last is not None:
                continue
            if isinstance(item, Gap):
                self._at[log] = item.last
                if log or self._seen_turn:
                    parts.append(self._render_gap(log, item))
                else:
                    self._undecided = self._merged(item)
                continue
            if not self._shows(log, item):
                self._at[log] = item.seq
                continue
            if log == 0:
                if not self._seen_turn:
                    self._seen_turn = True
                    if self._undecided and item.kind != "turn.queued":
                        parts.append(self._render_gap(0, self._undecided))
                if item.kind in self._last_kinds:
                    self._last = item
                    # Also what they say last may be a message that was lost.
                    self._subscription.miss_beside(0)
                    continue
            self._at[log] = item.seq
            parts.append(self._frame(item.kind, item.data))
        return b"".join(parts)

    def _merged(self, gap: Gap) -> Gap:
        return Gap(self._undecided.first if self._undecided else gap.first, gap.last)

    def _render_end(self) -> bytes:
        before = b""
        if self._undecided and not self._seen_turn:
            before = self._render_gap(0, self._undecided)
        end = self._last or self._end
        assert end is not None  # noqa: S101
        if self._last is not None:
            self._at[0] = self._last.seq
        return before + self._frame(end.kind, end.data)

    def _render_gap(self, log: int, gap: Gap) -> bytes:
        told = {"log": "tree"} if log else {}
        return self._notice("gap", gap.last, log, first_seq=gap.first, last_seq=gap.last, **told)

    def _render_opening(self) -> bytes:
        """A present state has its one id at its end: who is cut off before has to begin again."""
        told = self._opening.told
        if told is None:
            return b""
        frames = [f"id:\nevent: {each.kind}\ndata: ".encode() + each.data for each in told]
        frames.append(f"id: {event_id(self._generation, *self._opening.after)}".encode())
        return b"".join([frame + b"\n\n" for frame in frames])

    def _render_reset(self, reason: str) -> bytes:
        self._at = list(self._watched.from_the_start().after)
        notice = self._notice("reset", 0, reason=reason)
        self._at = list(self._opening.after)
        return notice

    def _notice(self, kind: str, seq: int, log: int = 0, /, **data: object) -> bytes:
        body = {
            "session": self._watched.session,
            "turn": self._watched.turn,
            "seq": seq,
            "at_ms": wall_ms(),
            "snapshot_url": self._watched.snapshot_urls[log],
        }
        return self._frame(kind, encode_json(body | data))

    def _frame(self, kind: str, data: bytes) -> bytes:
        head = f"id: {event_id(self._generation, *self._at)}\nevent: {kind}\ndata: ".encode()
        return head + data + b"\n\n"

    async def _send(self, send: Send, chunk: bytes) -> None:
        """Write, and wait while the client's buffer is full, but not for ever."""
        if not chunk:
            return
        if not self._is_full():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            return
        async with asyncio.timeout(self._limits.send_timeout_s):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._subscription.close()


class StreamResponse(Response[Any]):
    """Hands an `EventStream` through Litestar as it is."""

    def __init__(self, stream: EventStream) -> None:
        super().__init__(None)
        self._stream = stream

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]
        return self._stream
