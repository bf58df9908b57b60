"""Bodies of requests and of answers that are not a domain type. Unknown fields are refused."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from bursar.budgets.accounts import AccountView
from bursar.inbox import BY_REQUEST
from bursar.sessions import SessionSpec

__all__ = [
    "Added",
    "Health",
    "Kill",
    "LimitChange",
    "NewKey",
    "NewMessage",
    "NewSession",
    "NewTurn",
    "NewWorkspace",
    "Readiness",
    "SessionBudget",
    "SessionEnd",
    "SessionPatch",
    "TurnAccepted",
    "TurnCancel",
    "WorkspacePatch",
]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class NewWorkspace(_Body, frozen=True):
    """``limit_microusd`` left out or null: unlimited. Caps likewise."""

    id: str
    limit_microusd: int | None = None
    warn_percent: int | None = None
    max_running: int | None = None
    max_sessions: int | None = None
    max_queued: int | None = None


class WorkspacePatch(_Body, frozen=True):
    """What is left out stays; null lifts a cap, and gives ``max_queued`` its default again."""

    paused: bool | UnsetType = UNSET
    max_running: int | UnsetType | None = UNSET
    max_sessions: int | UnsetType | None = UNSET
    max_queued: int | UnsetType | None = UNSET

    def changes(self) -> dict[str, int | bool | None]:
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in given.items() if value is not UNSET}


class Kill(_Body, frozen=True):
    """``reason`` stands in every turn that is cancelled."""

    reason: str = "the workspace was killed"


class NewSession(SessionSpec, frozen=True, forbid_unknown_fields=True):
    pass


class SessionPatch(_Body, frozen=True):
    title: str | None = None
    tags: tuple[str, ...] | None = None
    custom: dict[str, Any] | None = None


class SessionEnd(_Body, frozen=True):
    """``force`` cancels what is running and what waits instead of finishing it."""

    force: bool = False


class NewMessage(_Body, frozen=True):
    role: Literal["user", "assistant"]
    text: str


class NewTurn(_Body, frozen=True):
    """``custom`` is kept with the message and given to the agent's tools, unread.

    ``if_busy`` says what to do when a turn is under way: wait in line (``enqueue``), refuse
    (``reject``), cancel that turn and wait in line (``interrupt``), or join it at its next step
    (``inject``).
    """

    input: str
    custom: dict[str, Any] = {}
    if_busy: Literal["enqueue", "reject", "interrupt", "inject"] = "enqueue"


class TurnCancel(_Body, frozen=True):
    """``reason`` stands in the turn and in its `turn.cancelled` event."""

    reason: str = BY_REQUEST


class TurnAccepted(msgspec.Struct, frozen=True):
    """An input that is stored and will run. ``turn`` and ``session`` are ids.

    ``joined`` says that ``turn`` was under way before and takes the input in.
    """

    turn: str
    session: str
    status_url: str
    events_url: str
    joined: bool = False


class LimitChange(_Body, frozen=True):
    """What is left out stays. A null limit lifts it, for workspaces and users only."""

    limit_microusd: int | UnsetType | None = UNSET
    per_action_microusd: int | None = None
    warn_percent: int | None = None


class NewKey(_Body, frozen=True):
    """``workspaces`` are names, or ``["*"]`` for all."""

    name: str
    workspaces: tuple[str, ...]
    admin: bool = False


class Added(msgspec.Struct, frozen=True):
    """Where in the conversation the message stands, counted from 0."""

    index: int


class SessionBudget(msgspec.Struct, frozen=True):
    """The session's own account, and all that a debit of it touches in the order of checking."""

    account: AccountView
    path: list[AccountView]


class Health(msgspec.Struct, frozen=True):
    status: Literal["up"]


class Readiness(msgspec.Struct, frozen=True):
    """``queue`` may be ``unavailable`` in a gateway that is ready: inputs are durable without."""

    status: Literal["ready"]
    store: Literal["ok"]
    queue: Literal["ok", "unavailable"]
    workers: int
    versions: dict[str, str]
