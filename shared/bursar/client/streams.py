"""Streams of events for plain code."""

from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from bursar.client.following import Follower, TurnFollower
from bursar.client.views import ClientEvent, TurnResult

__all__ = ["EventStream", "TurnStream"]

F = TypeVar("F", bound=Follower)


class _Stream(Generic[F]):
    """Iterates once over events; `close` it when leaving early."""

    def __init__(self, events: Generator[ClientEvent], follower: F) -> None:
        self._events = events
        self._follower = follower

    @property
    def cursor(self) -> str:
        """Where to resume: the id of the last event."""
        return self._follower.cursor

    def __iter__(self) -> Generator[ClientEvent]:
        return self._events

    def close(self) -> None:
        """Stop reading. Nothing is cancelled by that."""
        self._events.close()


class EventStream(_Stream[Follower]):
    """The events of a session, or of a workspace's questions."""


class TurnStream(_Stream[TurnFollower]):
    """The events of one turn."""

    def __init__(
        self,
        events: Generator[ClientEvent],
        follower: TurnFollower,
        get_result: Callable[[str], TurnResult],
    ) -> None:
        super().__init__(events, follower)
        self._get_result = get_result

    @property
    def turn(self) -> str:
        """The turn's id; empty before the first event."""
        return self._follower.turn

    @property
    def text(self) -> str:
        """The answer as far as it has come; what an abandoned attempt had said is gone."""
        return self._follower.transcript.text

    def result(self) -> TurnResult:
        """Read to the end, then the turn as it ended."""
        for _ in self:
            pass
        return self._get_result(self.turn)
