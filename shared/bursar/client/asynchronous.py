"""The client for programs with an event loop."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import update_wrapper
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import httpx
from httpx_sse import EventSource

from bursar.client.calls import Call
from bursar.client.following import Follower, TurnFollower
from bursar.client.options import Options
from bursar.client.problems import Attempts, raise_for_problem, translated
from bursar.client.routes import Routes
from bursar.client.views import ClientEvent, SessionView, TurnResult
from bursar.errors import BursarError

__all__ = ["AsyncClient", "AsyncEventStream", "AsyncTurnStream"]

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Follower)


def _sends(
    build: Callable[Concatenate[Routes, P], Call[T]],
) -> Callable[Concatenate["AsyncClient", P], Awaitable[T]]:
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.send(build(self.routes, *args, **kwargs))

    update_wrapper(method, build)
    return method


class AsyncClient:
    """Talks to a gateway. `aclose` it, or use it in an ``async with`` block.

    Requests that change nothing twice are repeated when the gateway does not answer: reads, and
    those for which the client makes an Idempotency-Key.

    Args:
        base_url: default ``BURSAR_URL``, else ``http://127.0.0.1:8700``.
        api_key: default ``BURSAR_API_KEY``.
        workspace: the one that sessions, turns and budgets are looked up in.
        stream_idle_s: silence after which an event stream is taken up anew.

    Raises:
        GatewayUnreachable: from every method, when there is no answer.
        BursarError: its subclass for the problem that the gateway answered, with ``code``,
            ``field`` and ``status``.

    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        workspace: str = "default",
        timeout_s: float = 30.0,
        stream_idle_s: float = 60.0,
        retries: int = 2,
    ) -> None:
        self._options = Options.of(base_url, api_key, timeout_s, stream_idle_s, retries)
        self._http = httpx.AsyncClient(**self._options.http_arguments())
        self.routes = Routes(workspace)

    @property
    def base_url(self) -> str:
        return self._options.base_url

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send one request, again if need be, and decode its answer."""
        attempts = Attempts(self._options.retries if call.repeatable else 0)
        while True:
            try:
                with translated(self.base_url):
                    response = await self._http.request(**call.arguments())
                return call.read(response)
            except BursarError as error:
                await asyncio.sleep(attempts.pause_s(error))

    async def run(
        self,
        session: str | SessionView,
        text: str,
        *,
        custom: dict[str, Any] | None = None,
        if_busy: str | None = None,
    ) -> TurnResult:
        """Put an input and wait for the end of its turn; ``if_busy`` is as for `start_turn`."""
        return await self.stream(session, text, custom=custom, if_busy=if_busy).result()

    def stream(
        self,
        session: str | SessionView,
        text: str,
        *,
        custom: dict[str, Any] | None = None,
        if_busy: str | None = None,
    ) -> "AsyncTurnStream":
        """Put an input and iterate over its turn's events, the last one being terminal.

        The input is sent when the first event is asked for. ``if_busy`` is as for `start_turn`;
        with ``inject`` the turn that was under way is followed from there on.
        """
        call = self.routes.start_turn(session, text, custom=custom, if_busy=if_busy)
        follower = TurnFollower(call, self.routes.turn_events, retries=self._options.retries)
        return AsyncTurnStream(self, follower)

    def turn_events(self, turn: str, *, after: str = "") -> "AsyncTurnStream":
        """Iterate over the events of a turn that exists, also after it ended."""
        routes, retries = self.routes, self._options.retries
        call = routes.turn_events(turn)
        follower = TurnFollower(call, routes.turn_events, turn=turn, after=after, retries=retries)
        return AsyncTurnStream(self, follower)

    def session_events(self, session: str | SessionView, *, after: str = "") -> "AsyncEventStream":
        """Iterate over a session's events from its log's start, or a cursor, until it ends."""
        call = self.routes.session_events(session)
        ends = frozenset({"session.ended"})
        follower = Follower(call, ends=ends, after=after, retries=self._options.retries)
        return AsyncEventStream(self, follower)

    async def follow(self, follower: Follower) -> AsyncGenerator[ClientEvent]:
        """Connect as often as it takes to see the end of what ``follower`` follows."""
        while not follower.done:
            try:
                with translated(self.base_url):
                    async with aclosing(self._connection(follower)) as events:
                        async for event in events:
                            yield event
                if not follower.done:
                    raise follower.cut()
            except BursarError as error:
                await asyncio.sleep(follower.pause_s(error))

    async def _connection(self, follower: Follower) -> AsyncGenerator[ClientEvent]:
        timeout = self._options.stream_timeout
        async with self._http.stream(**follower.arguments(), timeout=timeout) as response:
            if response.is_error:
                await response.aread()
                raise_for_problem(response)
            async for sent in EventSource(response).aiter_sse():
                event = follower.feed(sent)
                if event is not None:
                    yield event
                if follower.done:
                    return

    get_readiness = _sends(Routes.get_readiness)
    list_agents = _sends(Routes.list_agents)
    list_workers = _sends(Routes.list_workers)
    create_key = _sends(Routes.create_key)
    list_keys = _sends(Routes.list_keys)
    revoke_key = _sends(Routes.revoke_key)
    create_workspace = _sends(Routes.create_workspace)
    list_workspaces = _sends(Routes.list_workspaces)
    get_workspace = _sends(Routes.get_workspace)
    update_workspace = _sends(Routes.update_workspace)
    kill_workspace = _sends(Routes.kill_workspace)
    revive_workspace = _sends(Routes.revive_workspace)
    get_stats = _sends(Routes.get_stats)
    create_session = _sends(Routes.create_session)
    list_sessions = _sends(Routes.list_sessions)
    get_session = _sends(Routes.get_session)
    update_session = _sends(Routes.update_session)
    delete_session = _sends(Routes.delete_session)
    end_session = _sends(Routes.end_session)
    clear_session = _sends(Routes.clear_session)
    list_messages = _sends(Routes.list_messages)
    add_message = _sends(Routes.add_message)
    start_turn = _sends(Routes.start_turn)
    get_turn = _sends(Routes.get_turn)
    get_result = _sends(Routes.get_result)
    cancel_turn = _sends(Routes.cancel_turn)
    get_session_budget = _sends(Routes.get_session_budget)
    set_session_budget = _sends(Routes.set_session_budget)
    get_budget = _sends(Routes.get_budget)
    set_budget = _sends(Routes.set_budget)
    set_session_period = _sends(Routes.set_session_period)
    set_budget_period = _sends(Routes.set_budget_period)
    reset_session_budget = _sends(Routes.reset_session_budget)
    reset_budget = _sends(Routes.reset_budget)
    list_budget_questions = _sends(Routes.list_budget_questions)
    deny_budget = _sends(Routes.deny_budget)
    get_ledger = _sends(Routes.get_ledger)
    get_spending = _sends(Routes.get_spending)
    audit_budget = _sends(Routes.audit_budget)
    checkpoint_ledger = _sends(Routes.checkpoint_ledger)
    trim_ledger = _sends(Routes.trim_ledger)


class _Stream(Generic[F]):
    """Iterates once over events; `aclose` it when leaving early."""

    def __init__(self, client: AsyncClient, follower: F) -> None:
        self._client = client
        self._follower = follower
        self._events = client.follow(follower)

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
    """The events of a session."""


class AsyncTurnStream(_Stream[TurnFollower]):
    """The events of one turn."""

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
        return await self._client.get_result(self.turn)
