"""The client for programs with an event loop."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import update_wrapper
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx
import msgspec
from httpx_sse import EventSource

from bursar.client.asynchronous_streams import AsyncEventStream, AsyncTurnStream
from bursar.client.calls import Call
from bursar.client.following import Follower, TurnFollower
from bursar.client.job_views import ItemResult, JobView
from bursar.client.options import Options
from bursar.client.problems import Attempts, raise_for_problem, translated
from bursar.client.routes import Routes
from bursar.client.views import ClientEvent, SessionView, TurnResult
from bursar.errors import BursarError

__all__ = ["AsyncClient"]

P = ParamSpec("P")
T = TypeVar("T")


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
        tree: bool = False,
    ) -> AsyncTurnStream:
        """Put an input and iterate over its turn's events, the last one being terminal.

        The input is sent when the first event is asked for. ``if_busy`` is as for `start_turn`;
        with ``inject`` the turn that was under way is followed from there on. With ``tree`` the
        events of all sessions come that the turn spawns and waits for, but for streamed text.
        """
        routes = self.routes
        call = routes.start_turn(session, text, custom=custom, if_busy=if_busy, tree=tree)
        follower = TurnFollower(
            call,
            lambda turn: routes.turn_events(turn, tree=tree),
            session=session if isinstance(session, str) else session.id,
            retries=self._options.retries,
        )
        return AsyncTurnStream(self.follow(follower), follower, self.get_result)

    def turn_events(self, turn: str, *, after: str = "", tree: bool = False) -> AsyncTurnStream:
        """Iterate over the events of a turn that exists, also after it ended.

        ``tree`` is as for `stream`; a cursor is only good for the kind of stream that it is of.
        """
        routes = self.routes
        follower = TurnFollower(
            routes.turn_events(turn, tree=tree),
            lambda turn: routes.turn_events(turn, tree=tree),
            turn=turn,
            after=after,
            retries=self._options.retries,
        )
        return AsyncTurnStream(self.follow(follower), follower, self.get_result)

    def session_events(
        self, session: str | SessionView, *, after: str = "", tree: bool = False
    ) -> AsyncEventStream:
        """Iterate over a session's events from its log's start, or a cursor, until it ends.

        With ``tree`` come those of all sessions below it, but for streamed text.
        """
        follower = Follower(
            self.routes.session_events(session, tree=tree),
            ends=frozenset({"session.ended"}),
            session=session if isinstance(session, str) else session.id,
            after=after,
            retries=self._options.retries,
        )
        return AsyncEventStream(self.follow(follower), follower)

    def watch_approvals(
        self, *, root: str | SessionView | None = None, after: str = ""
    ) -> AsyncEventStream:
        """Iterate over the workspace's questions as they come and go; it has no end of its own.

        It begins with an ``approval.requested`` for each that is open, the oldest first, or behind
        a cursor. After a `gap` read `list_approvals`; a `reset` is followed by what is open.

        Args:
            root: only those of the whole tree that this session is the root of.

        """
        call = self.routes.approval_events(root=root)
        retries = self._options.retries
        follower = Follower(call, ends=frozenset(), after=after, retries=retries)
        return AsyncEventStream(self.follow(follower), follower)

    async def job_results(
        self, job: str | JobView, *, state: str | None = None, after: int | None = None
    ) -> AsyncGenerator[ItemResult]:
        """Iterate over a job's items in the order of its inputs, also while it is at work.

        Args:
            state: ``all`` (default), ``ended``, ``succeeded`` or ``failed``.
            after: ``index`` of the last one that is known, after a connection broke off.

        """
        call = self.routes.job_results(job, state=state, after=after)
        async for line in self._lines(call):
            yield msgspec.json.decode(line, type=ItemResult)

    def export_audit(self, *, unsealed: bool = False) -> AsyncGenerator[bytes]:
        """The workspace's audit log as lines of JSON, to be stored and verified.

        When it is complete, the log may be trimmed up to its end. With ``unsealed``: the log as it
        is now, with entries that have no seal yet; nothing may be trimmed after that.

        Raises:
            GatewayUnreachable: also when it breaks off; it is not continued.

        """
        return self._lines(self.routes.export_audit(unsealed=unsealed))

    def export_installation_audit(self, *, unsealed: bool = False) -> AsyncGenerator[bytes]:
        """The same of the installation's log; needs an administrator's key."""
        return self._lines(self.routes.export_installation_audit(unsealed=unsealed))

    def export_session(self, session: str | SessionView) -> AsyncGenerator[bytes]:
        """A session's document, in lines without their ends, to be stored and imported again.

        Raises:
            GatewayUnreachable: also when it breaks off; what came before is not a document.

        """
        return self._lines(self.routes.export_session(session))

    async def _lines(self, call: Call[None]) -> AsyncGenerator[bytes]:
        timeout = self._options.stream_timeout
        with translated(self.base_url):
            async with self._http.stream(**call.arguments(), timeout=timeout) as response:
                if response.is_error:
                    await response.aread()
                    raise_for_problem(response)
                rest = b""
                async for piece in response.aiter_bytes():
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        yield line
                if rest:
                    yield rest

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
    get_installation = _sends(Routes.get_installation)
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
    session_tree = _sends(Routes.session_tree)
    update_session = _sends(Routes.update_session)
    delete_session = _sends(Routes.delete_session)
    end_session = _sends(Routes.end_session)
    clear_session = _sends(Routes.clear_session)
    fork_session = _sends(Routes.fork_session)
    import_session = _sends(Routes.import_session)
    list_messages = _sends(Routes.list_messages)
    add_message = _sends(Routes.add_message)
    start_turn = _sends(Routes.start_turn)
    get_turn = _sends(Routes.get_turn)
    get_result = _sends(Routes.get_result)
    cancel_turn = _sends(Routes.cancel_turn)
    create_job = _sends(Routes.create_job)
    list_jobs = _sends(Routes.list_jobs)
    get_job = _sends(Routes.get_job)
    cancel_job = _sends(Routes.cancel_job)
    retry_job = _sends(Routes.retry_job)
    delete_job = _sends(Routes.delete_job)
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
    list_audit = _sends(Routes.list_audit)
    list_installation_audit = _sends(Routes.list_installation_audit)
    get_audit_head = _sends(Routes.get_audit_head)
    get_installation_audit_head = _sends(Routes.get_installation_audit_head)
    list_audit_seals = _sends(Routes.list_audit_seals)
    list_installation_audit_seals = _sends(Routes.list_installation_audit_seals)
    trim_audit = _sends(Routes.trim_audit)
    trim_installation_audit = _sends(Routes.trim_installation_audit)
    accept_audit = _sends(Routes.accept_audit)
    accept_installation_audit = _sends(Routes.accept_installation_audit)
    get_policy = _sends(Routes.get_policy)
    set_policy = _sends(Routes.set_policy)
    remove_policy = _sends(Routes.remove_policy)
    get_agent_policy = _sends(Routes.get_agent_policy)
    set_agent_policy = _sends(Routes.set_agent_policy)
    remove_agent_policy = _sends(Routes.remove_agent_policy)
    list_policy_versions = _sends(Routes.list_policy_versions)
    get_policy_version = _sends(Routes.get_policy_version)
    explain_policy = _sends(Routes.explain_policy)
    list_manifests = _sends(Routes.list_manifests)
    accept_manifests = _sends(Routes.accept_manifests)
    mint_capability = _sends(Routes.mint_capability)
    derive_capability = _sends(Routes.derive_capability)
    inspect_capability = _sends(Routes.inspect_capability)
    list_capabilities = _sends(Routes.list_capabilities)
    import_capability = _sends(Routes.import_capability)
    revoke_capability = _sends(Routes.revoke_capability)
    list_approvals = _sends(Routes.list_approvals)
    list_session_approvals = _sends(Routes.list_session_approvals)
    get_approval = _sends(Routes.get_approval)
    answer_approval = _sends(Routes.answer_approval)
    list_allowances = _sends(Routes.list_allowances)
    create_allowance = _sends(Routes.create_allowance)
    revoke_allowance = _sends(Routes.revoke_allowance)
    revoke_allowances = _sends(Routes.revoke_allowances)
    export_allowances = _sends(Routes.export_allowances)
    import_allowances = _sends(Routes.import_allowances)
    list_signing_keys = _sends(Routes.list_signing_keys)
    rotate_signing_key = _sends(Routes.rotate_signing_key)
    revoke_signing_key = _sends(Routes.revoke_signing_key)
    list_webhooks = _sends(Routes.list_webhooks)
    create_webhook = _sends(Routes.create_webhook)
    get_webhook = _sends(Routes.get_webhook)
    update_webhook = _sends(Routes.update_webhook)
    delete_webhook = _sends(Routes.delete_webhook)
    rotate_webhook = _sends(Routes.rotate_webhook)
    test_webhook = _sends(Routes.test_webhook)
    list_deliveries = _sends(Routes.list_deliveries)
    retry_delivery = _sends(Routes.retry_delivery)
