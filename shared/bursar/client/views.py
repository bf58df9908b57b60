"""What a client reads. Unknown fields are ignored, so an older client reads a newer gateway.

These mirror what the gateway sends without importing the domain, which would load Redis and arq
into every program that only wants to ask something.
"""

from typing import Any

import msgspec

from bursar.client.audit_views import SealingState
from bursar.client.budget_views import AccountView

__all__ = [
    "ENDED",
    "TERMINAL",
    "AcceptedTurn",
    "AddedMessage",
    "AgentView",
    "ApiKeyView",
    "ClientEvent",
    "DurabilityState",
    "NewApiKey",
    "Readiness",
    "SessionPage",
    "SessionView",
    "TurnResult",
    "TurnView",
    "WorkerView",
    "WorkspaceView",
]

ENDED = frozenset({"succeeded", "failed", "cancelled", "quarantined"})
"""States of a turn that nothing follows."""
TERMINAL = frozenset(f"turn.{state}" for state in ENDED)
"""Kinds of the event that ends a turn's stream."""


class WorkspaceView(msgspec.Struct, frozen=True):
    """A workspace. Caps are None when there is none of its own.

    ``killed`` says that the kill switch was thrown: it takes no inputs until it is revived.
    """

    id: str
    created_ms: int
    paused: bool
    max_running: int | None
    max_sessions: int | None
    budget: AccountView
    killed: bool = False
    max_queued: int | None = None


class SessionView(msgspec.Struct, frozen=True):
    """A session. Times are Unix milliseconds by Redis's clock.

    ``forked_at`` is the index of the last message that was copied of ``forked_from``.
    ``imported_from`` is the ``workspace/session`` of the document that it was made from, and
    ``spent_before_…`` what was spent before then, of which no account here knows.
    """

    id: str
    workspace: str
    user: str
    agent: str
    state: str
    model: str = ""
    title: str = ""
    tags: tuple[str, ...] = ()
    parent: str = ""
    root: str = ""
    depth: int = 0
    is_subagent: bool = False
    workspace_path: str = ""
    priority: str = ""
    created_ms: int = 0
    active_ms: int = 0
    duration_ms: int = 0
    token_count: int = 0
    turn_count: int = 0
    step_count: int = 0
    tool_call_count: int = 0
    approval_count: int = 0
    message_count: int = 0
    context_start: int = 0
    summarised: bool = False
    turn: str = ""
    blocked: str = ""
    ending: bool = False
    worker: str = ""
    custom: dict[str, Any] = {}
    forked_from: str = ""
    forked_at: int | None = None
    imported_from: str = ""
    spent_before_microusd: int = 0
    spent_before_tokens: int = 0

    def __repr__(self) -> str:
        return f"<Session {self.workspace}/{self.id} {self.state} {self.message_count} messages>"


class SessionPage(msgspec.Struct, frozen=True):
    """``cursor`` continues the list; empty at its end."""

    sessions: list[SessionView]
    cursor: str = ""


class TurnView(msgspec.Struct, frozen=True):
    """A turn.

    ``output`` is the agent's last text once the turn has ended; ``code`` and ``reason`` say why it
    did not succeed.
    """

    id: str
    session: str
    state: str
    created_ms: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    steps: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int = 0
    waiting_for: str = ""
    code: str = ""
    reason: str = ""
    output: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class TurnResult(TurnView, frozen=True):
    """A turn that has ended. Failing is an outcome, not an exception: ask `ok`."""

    @property
    def ok(self) -> bool:
        return self.state == "succeeded"

    @property
    def text(self) -> str:
        return self.output


class AcceptedTurn(msgspec.Struct, frozen=True):
    """An input that is on record and will be worked off.

    ``joined`` says that ``turn`` was under way before and takes the input in.
    """

    turn: str
    session: str
    status_url: str = ""
    events_url: str = ""
    joined: bool = False


class AddedMessage(msgspec.Struct, frozen=True):
    """``index`` is the message's place in the session's history, from 0."""

    index: int


class AgentView(msgspec.Struct, frozen=True):
    """An agent that some worker announced; ``live`` says whether one serves it now.

    ``policy`` is that of its code, ``hooks`` the names of its hooks by their event.
    """

    name: str
    group: str
    manifest: str = ""
    description: str = ""
    model: str = ""
    seen_ms: int = 0
    live: bool = False
    policy: dict[str, list[str]] | None = None
    hooks: dict[str, list[str]] = {}


class WorkerView(msgspec.Struct, frozen=True):
    id: str
    host: str
    pid: int
    group: str
    slots: int
    busy: int
    agents: str
    started_ms: int = 0
    seen_ms: int = 0


class ApiKeyView(msgspec.Struct, frozen=True):
    """A key without its secret. ``workspaces`` is ``["*"]`` for all of them."""

    id: str
    name: str
    workspaces: tuple[str, ...]
    admin: bool
    created_ms: int = 0
    approver: bool = False


class NewApiKey(msgspec.Struct, frozen=True):
    """A key just made: the only time that its token is shown."""

    key: ApiKeyView
    token: str


class DurabilityState(msgspec.Struct, frozen=True):
    """A durability profile, and what Redis does not fulfil of it."""

    profile: str
    matches: bool
    mismatches: list[str] = []


class Readiness(msgspec.Struct, frozen=True):
    """A gateway that accepts inputs. ``workers`` counts the live ones of the installation."""

    status: str
    workers: int = 0
    queue: str = ""
    versions: dict[str, str] = {}
    durability: DurabilityState | None = None
    sealing: SealingState | None = None


class ClientEvent(msgspec.Struct, frozen=True):
    """One entry of a session's event log, or a notice (``gap``, ``reset``) about it.

    ``id`` is the cursor to resume after it; ``data`` has the fields of its kind, such as ``text``
    of a ``text.delta``.
    """

    id: str
    kind: str
    data: dict[str, Any]
    session: str = ""
    turn: str = ""
    step: int = 0
    attempt: int = 0
    seq: int = 0
    at_ms: int = 0

    def __repr__(self) -> str:
        return f"<Event {self.id} {self.kind} turn={self.turn} step={self.step}>"
