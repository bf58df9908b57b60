"""The gateway's routes: every path, body and answer type in one place, for both clients.

Each method of `Routes` has a method of the same name and arguments on `Client` and `AsyncClient`,
which sends what is built here.
"""

from collections.abc import Mapping
from types import NoneType
from typing import Any
from urllib.parse import quote

from bursar.client.approval_routes import ApprovalRoutes
from bursar.client.audit_routes import AuditRoutes
from bursar.client.budget_routes import BudgetRoutes
from bursar.client.calls import Call
from bursar.client.capability_routes import CapabilityRoutes
from bursar.client.copy_routes import CopyRoutes
from bursar.client.installation_views import InstallationView
from bursar.client.job_routes import JobRoutes
from bursar.client.mcp_routes import McpRoutes
from bursar.client.places import given, id_of
from bursar.client.policy_routes import PolicyRoutes
from bursar.client.tree_views import TreeView
from bursar.client.views import (
    AcceptedTurn,
    AddedMessage,
    AgentView,
    ApiKeyView,
    NewApiKey,
    Readiness,
    SessionPage,
    SessionView,
    TurnResult,
    TurnView,
    WorkerView,
    WorkspaceView,
)
from bursar.client.webhook_routes import WebhookRoutes
from bursar.ids import new_id
from bursar.messages import Message

__all__ = ["Routes"]


class Routes(
    CopyRoutes,
    BudgetRoutes,
    AuditRoutes,
    PolicyRoutes,
    McpRoutes,
    CapabilityRoutes,
    ApprovalRoutes,
    WebhookRoutes,
    JobRoutes,
):
    """Builds the requests about one workspace, and those about the whole installation."""

    # -- the installation

    def get_readiness(self) -> Call[Readiness]:
        """Ask whether the gateway can work; `StoreUnavailable` while it cannot."""
        return Call(method="GET", path="/readyz", kind=Readiness)

    def list_agents(self) -> Call[list[AgentView]]:
        return Call(method="GET", path="/v1/agents", kind=list[AgentView])

    def list_workers(self) -> Call[list[WorkerView]]:
        return Call(method="GET", path="/v1/workers", kind=list[WorkerView])

    def get_installation(self) -> Call[InstallationView]:
        """Workers, workspaces, queues and what is blocked; needs an administrator's key."""
        return Call(method="GET", path="/v1/top", kind=InstallationView)

    def create_key(
        self,
        name: str,
        *,
        workspaces: tuple[str, ...] = ("*",),
        admin: bool = False,
        approver: bool = False,
    ) -> Call[NewApiKey]:
        """Make an API key. Its token is shown in this answer and never again.

        Args:
            name: what it is for.
            workspaces: which ones it may see; ``*`` is all.
            admin: whether it may do everything.
            approver: whether it may answer questions, grant and revoke.

        """
        body = {"name": name, "workspaces": workspaces, "admin": admin, "approver": approver}
        return Call(method="POST", path="/v1/keys", kind=NewApiKey, body=body)

    def list_keys(self) -> Call[list[ApiKeyView]]:
        return Call(method="GET", path="/v1/keys", kind=list[ApiKeyView])

    def revoke_key(self, key_id: str) -> Call[None]:
        """Revoke a key; every gateway refuses it within a second."""
        return Call(method="DELETE", path=f"/v1/keys/{quote(key_id, safe='')}", kind=NoneType)

    # -- workspaces

    def create_workspace(
        self,
        workspace: str,
        *,
        limit_microusd: int | None = None,
        warn_percent: int | None = None,
        max_running: int | None = None,
        max_sessions: int | None = None,
        max_queued: int | None = None,
    ) -> Call[WorkspaceView]:
        """Create a workspace. Without a limit its budget is recorded and never refused."""
        body = {"id": workspace} | given(
            limit_microusd=limit_microusd,
            warn_percent=warn_percent,
            max_running=max_running,
            max_sessions=max_sessions,
            max_queued=max_queued,
        )
        return Call(method="POST", path="/v1/workspaces", kind=WorkspaceView, body=body)

    def list_workspaces(self) -> Call[list[WorkspaceView]]:
        return Call(method="GET", path="/v1/workspaces", kind=list[WorkspaceView])

    def get_workspace(self, workspace: str = "") -> Call[WorkspaceView]:
        path = self._in_workspace(workspace=workspace)
        return Call(method="GET", path=path, kind=WorkspaceView)

    def update_workspace(self, changes: Mapping[str, int | bool | None]) -> Call[WorkspaceView]:
        """Change ``paused``, ``max_running``, ``max_sessions`` (None: no cap) or ``max_queued``."""
        path = self._in_workspace()
        return Call(method="PATCH", path=path, kind=WorkspaceView, body=dict(changes))

    def kill_workspace(self, *, reason: str | None = None) -> Call[WorkspaceView]:
        """Take no inputs, start nothing, and cancel every open turn."""
        path, body = self._in_workspace("/kill"), given(reason=reason)
        return Call(method="POST", path=path, kind=WorkspaceView, body=body)

    def revive_workspace(self) -> Call[WorkspaceView]:
        """Let a workspace that was killed take inputs again."""
        return Call(method="POST", path=self._in_workspace("/revive"), kind=WorkspaceView)

    def get_stats(self) -> Call[dict[str, int]]:
        """Counters by state, kind and outcome."""
        path = self._in_workspace("/stats")
        return Call(method="GET", path=path, kind=dict[str, int])

    # -- sessions

    def create_session(
        self,
        agent: str,
        *,
        user: str | None = None,
        id: str | None = None,  # noqa: A002  (the field's name)
        model: str | None = None,
        system_prompt: str | None = None,
        context: str | None = None,
        workspace_path: str | None = None,
        priority: str | None = None,
        title: str | None = None,
        tags: tuple[str, ...] | None = None,
        custom: dict[str, Any] | None = None,
        limit_microusd: int | None = None,
        per_action_microusd: int | None = None,
        warn_percent: int | None = None,
        token_limit: int | None = None,
        per_turn_microusd: int | None = None,
    ) -> Call[SessionView]:
        """Open a session. Safe to repeat: the client sends an Idempotency-Key of its own."""
        body = {"agent": agent} | given(
            user=user,
            id=id,
            model=model,
            system_prompt=system_prompt,
            context=context,
            workspace_path=workspace_path,
            priority=priority,
            title=title,
            tags=tags,
            custom=custom,
            limit_microusd=limit_microusd,
            per_action_microusd=per_action_microusd,
            warn_percent=warn_percent,
            token_limit=token_limit,
            per_turn_microusd=per_turn_microusd,
        )
        path = self._in_workspace("/sessions")
        return Call(method="POST", path=path, kind=SessionView, body=body, key=new_id("idm"))

    def list_sessions(
        self,
        *,
        user: str | None = None,
        state: str | None = None,
        workspace_path: str | None = None,
        roots: bool = False,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[SessionPage]:
        """One page of sessions by activity, newest first; with ``roots`` none below others."""
        params = given(
            user=user,
            state=state,
            workspace_path=workspace_path,
            roots="true" if roots else None,
            cursor=cursor,
            limit=limit,
        )
        path = self._in_workspace("/sessions")
        return Call(method="GET", path=path, kind=SessionPage, params=params)

    def get_session(self, session: str | SessionView) -> Call[SessionView]:
        return Call(method="GET", path=self._of(session), kind=SessionView)

    def update_session(
        self,
        session: str | SessionView,
        *,
        title: str | None = None,
        tags: tuple[str, ...] | None = None,
        custom: dict[str, Any] | None = None,
    ) -> Call[SessionView]:
        """Change what is given and leave the rest."""
        body = given(title=title, tags=tags, custom=custom)
        return Call(method="PATCH", path=self._of(session), kind=SessionView, body=body)

    def delete_session(self, session: str | SessionView) -> Call[None]:
        return Call(method="DELETE", path=self._of(session), kind=NoneType)

    def end_session(self, session: str | SessionView, *, force: bool = False) -> Call[SessionView]:
        """End it once accepted inputs are worked off; ``force`` cancels those instead."""
        path = self._of(session, "/end")
        return Call(method="POST", path=path, kind=SessionView, body={"force": force})

    def clear_session(self, session: str | SessionView) -> Call[SessionView]:
        """Start a new context; the history stays readable."""
        return Call(method="POST", path=self._of(session, "/clear"), kind=SessionView)

    def session_tree(
        self,
        session: str | SessionView,
        *,
        live: bool = False,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[TreeView]:
        """A session and all below it, at most 1,000 at a time; ``live``: what has not ended."""
        params = given(live="true" if live else None, cursor=cursor, limit=limit)
        path = self._of(session, "/tree")
        return Call(method="GET", path=path, kind=TreeView, params=params)

    def list_messages(self, session: str | SessionView, *, last: int = 50) -> Call[list[Message]]:
        """The newest messages, oldest of them first."""
        path, params = self._of(session, "/messages"), {"last": last}
        return Call(method="GET", path=path, kind=list[Message], params=params)

    def add_message(
        self, session: str | SessionView, text: str, *, role: str = "user"
    ) -> Call[AddedMessage]:
        """Append a message without starting a turn. Safe to repeat."""
        path, body = self._of(session, "/messages"), {"role": role, "text": text}
        return Call(method="POST", path=path, kind=AddedMessage, body=body, key=new_id("idm"))

    # -- turns

    def start_turn(
        self,
        session: str | SessionView,
        text: str,
        *,
        custom: dict[str, Any] | None = None,
        if_busy: str | None = None,
        tree: bool = False,
    ) -> Call[AcceptedTurn]:
        """Put an input and do not wait for it. Safe to repeat: never two turns.

        Args:
            if_busy: ``enqueue`` (default), ``reject``, ``interrupt`` or ``inject``: what to do
                beside a turn that is under way.
            tree: whether a stream of the answer has what the turn spawns.

        """
        body = {"input": text} | given(custom=custom, if_busy=if_busy)
        return Call(
            method="POST",
            path=self._of(session, "/turns"),
            kind=AcceptedTurn,
            params=_with(tree),
            body=body,
            key=new_id("idm"),
        )

    def get_turn(self, turn: str | TurnView) -> Call[TurnView]:
        return Call(method="GET", path=self._in_workspace(f"/turns/{id_of(turn)}"), kind=TurnView)

    def get_result(self, turn: str | TurnView) -> Call[TurnResult]:
        """Read a turn that has ended."""
        return Call(method="GET", path=self._in_workspace(f"/turns/{id_of(turn)}"), kind=TurnResult)

    def cancel_turn(self, turn: str | TurnView, *, reason: str | None = None) -> Call[TurnView]:
        """Ask for a turn to be cancelled; one that has ended stays as it ended."""
        path = self._in_workspace(f"/turns/{id_of(turn)}/cancel")
        return Call(method="POST", path=path, kind=TurnView, body=given(reason=reason))

    def turn_events(self, turn: str, *, tree: bool = False) -> Call[None]:
        path = self._in_workspace(f"/turns/{id_of(turn)}/events")
        return Call(method="GET", path=path, kind=NoneType, params=_with(tree))

    def session_events(self, session: str | SessionView, *, tree: bool = False) -> Call[None]:
        path = self._of(session, "/events")
        return Call(method="GET", path=path, kind=NoneType, params=_with(tree))


def _with(tree: bool) -> dict[str, str]:
    return {"tree": "true"} if tree else {}
