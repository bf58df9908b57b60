"""What a stream has to remember between connections; does no input or output itself.

A follower says which request comes next, takes in what arrives, and knows when it is over. The
clients only move bytes and wait, so a cut connection is handled the same way in both.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from httpx_sse import ServerSentEvent

from bursar.client.calls import Call
from bursar.client.problems import Attempts
from bursar.client.views import TERMINAL, ClientEvent
from bursar.errors import BursarError, GatewayUnreachable

__all__ = ["Follower", "Transcript", "TurnFollower"]

_RECONNECTS = 10
"""Connections in a row that bring nothing; with the pauses between them more than half a minute."""

_NOTICES = frozenset({"gap", "reset"})


class Follower:
    """Follows one event stream to its end, over any number of cuts.

    It ends with the first event of a kind in ``ends`` that is of what is watched itself; what is
    below that has ends of its own.

    Args:
        ends: empty for a stream that has no end. One may be silent for days; so it counts as
            progress that it was opened.
        session: the one that is watched; empty if the stream is of no session.
        after: cursor to start behind; empty for the start of the log.
        retries: repeats of the first request before the gateway counts as away.

    """

    def __init__(
        self,
        call: Call[Any],
        *,
        ends: frozenset[str],
        session: str = "",
        after: str = "",
        retries: int = 2,
    ) -> None:
        self._call = call
        self.session = session
        self._ends = ends
        self._endless = not ends
        self._attempts = Attempts(retries)
        self.cursor = after
        self.done = False

    def arguments(self) -> dict[str, Any]:
        """Return what httpx's ``stream`` takes for the next connection."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.cursor:
            headers["Last-Event-ID"] = self.cursor
        return self._call.arguments(headers)

    def feed(self, sent: ServerSentEvent) -> ClientEvent | None:
        """Take in what arrived; None if it is no event, or one that came before."""
        if not sent.data:
            self._note(sent)
            return None
        try:
            data = msgspec.json.decode(sent.data, type=dict[str, Any])
            members = {**data, "id": sent.id, "kind": sent.event, "data": data}
            event = msgspec.convert(members, ClientEvent)
        except msgspec.MsgspecError as error:
            raise BursarError(
                f"an event is not as this client knows them: {error}", code="unexpected_answer"
            ) from error
        if self._came_before(event):
            return None
        self._attempts.succeeded(_RECONNECTS)
        # Empty: up to here there is nothing to resume from, a cut means to begin again.
        self.cursor = event.id
        self.done = self._is_end(event)
        return event

    def _is_end(self, event: ClientEvent) -> bool:
        return event.kind in self._ends and self.is_own(event)

    def is_own(self, event: ClientEvent) -> bool:
        """Whether an event is of what is watched, and not of a session below it."""
        return event.session == self.session

    def _note(self, sent: ServerSentEvent) -> None:
        """A frame without data: the first one of a connection, or a cursor by itself."""
        self.cursor = sent.id or self.cursor
        if self._endless:
            self._attempts.succeeded(_RECONNECTS)

    def _came_before(self, event: ClientEvent) -> bool:
        # Made from state, these may carry the number of an event that we have seen.
        if self._is_end(event) or event.kind in _NOTICES:
            return False
        seen_in, seen = _places(self.cursor)
        generation, places = _places(event.id)
        if generation != seen_in or not places:
            return False
        # A new event is further in one of the logs that the stream is made of.
        return all(place <= before for place, before in zip(places, seen, strict=False))

    def pause_s(self, error: BursarError) -> float:
        """Return how long to wait before the next connection; raise if there is no point."""
        return self._attempts.pause_s(error)

    def cut(self) -> GatewayUnreachable:
        """Return the error for a stream that was closed in good order, but before its end."""
        return GatewayUnreachable("the gateway closed the stream before its end")


def _places(cursor: str) -> tuple[str, list[int]]:
    """Generation of an id and its place in each log of the stream; none if it is no such id."""
    generation, _, places = cursor.partition("-")
    parts = places.split(".")
    return generation, list(map(int, parts)) if all(map(str.isdecimal, parts)) else []


class TurnFollower(Follower):
    """Follows one turn. Until its id is known the input is sent again, under the same key.

    Args:
        resume: builds the request for the events of a turn that exists.
        session: whose turn it is; not needed for a ``turn`` that is known.

    """

    def __init__(
        self,
        call: Call[Any],
        resume: Callable[[str], Call[Any]],
        *,
        turn: str = "",
        session: str = "",
        after: str = "",
        retries: int = 2,
    ) -> None:
        super().__init__(call, ends=TERMINAL, session=session, after=after, retries=retries)
        self._resume = resume
        self.turn = turn
        self.transcript = Transcript()

    def feed(self, sent: ServerSentEvent) -> ClientEvent | None:
        event = super().feed(sent)
        if event is not None and self.is_own(event):
            if event.turn and not self.turn:
                self.turn = event.turn
                self._call = self._resume(event.turn)
            self.transcript.add(event)
        return event

    def is_own(self, event: ClientEvent) -> bool:
        return event.turn == self.turn if self.turn else super().is_own(event)


class Transcript:
    """The text of one turn as it stands: of a repeated attempt only the last one counts."""

    def __init__(self) -> None:
        self._parts: dict[int, list[str]] = {}

    def add(self, event: ClientEvent) -> None:
        if event.kind == "text.delta":
            self._parts.setdefault(event.step, []).append(str(event.data.get("text", "")))
        elif event.kind == "step.abandoned":
            self._parts.pop(event.step, None)
        elif event.kind == "reset":
            self._parts.clear()

    @property
    def text(self) -> str:
        """What the agent said in the last step in which it said something."""
        return "".join(self._parts[max(self._parts)]) if self._parts else ""
