"""Streams of events for programs with an event loop."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

from bursar.client.following import Follower, TurnFollower
from bursar.client.views import ClientEvent, TurnResult

__all__ = ["AsyncEventStream", "AsyncTurnStream"]

F = TypeVar("F", bound=Follower)


class _Stream(Generic[F]):
    """Iterates once over events; `aclose` it when leaving early."""

    def __init__(self, events: AsyncGenerator[ClientEvent], follower: F) -> None:
        self._events = events
        self._follower = follower

    @property
    def cursor(self) -> str:
        """Where to resume: the id of the last event."""
        return self._follower.cursor

    def __aiter__(self) -> AsyncGenerator[ClientEvent]:
        return self._events

    async def aclose(self) -> None:
        """Stop reading. Nothing is cancelled by that."""
        await self._events.aclose()


class AsyncEventStream(_Stream[Follower]):
    """The events of a session, or of a workspace's questions."""


class AsyncTurnStream(_Stream[TurnFollower]):
    """The events of one turn."""

    def __init__(
        self,
        events: AsyncGenerator[ClientEvent],
        follower: TurnFollower,
        get_result: Callable[[str], Awaitable[TurnResult]],
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

    async def result(self) -> TurnResult:
        """Read to the end, then the turn as it ended."""
        async for _ in self:
            pass
        return await self._get_result(self.turn)
