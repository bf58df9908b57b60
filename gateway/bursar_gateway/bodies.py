"""Bodies of requests and of answers that are not a domain type. Unknown fields are refused."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from bursar.budgets.accounts import AccountView
from bursar.forking import ForkSpec
from bursar.gate.allowances import AllowanceView, Scope
from bursar.gate.capability_views import CapabilityView
from bursar.gate.policy import Effect, Risk
from bursar.inbox import BY_REQUEST
from bursar.sessions import SessionSpec
from bursar_gateway.audit import SealingState

__all__ = [
    "AcceptedHead",
    "Added",
    "AllowanceImport",
    "AuditTrim",
    "CapabilityQuestion",
    "CheckpointWish",
    "Denial",
    "DeniedTurns",
    "DurabilityState",
    "Health",
    "Kill",
    "ManifestAcceptance",
    "MintedCapability",
    "NewKey",
    "NewMessage",
    "NewPolicy",
    "NewSession",
    "NewTurn",
    "NewWorkspace",
    "PeriodChange",
    "PolicyQuestion",
    "PresentedCapability",
    "Readiness",
    "Revocation",
    "Revoked",
    "SessionBudget",
    "SessionEnd",
    "SessionFork",
    "SessionPatch",
    "Trim",
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


class SessionFork(ForkSpec, frozen=True, forbid_unknown_fields=True):
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


class Denial(_Body, frozen=True):
    """``account`` is ``ws``, ``user:<id>`` or ``s:<session>``."""

    account: str
    reason: str = "more money was denied"


class DeniedTurns(msgspec.Struct, frozen=True):
    """How many turns end because of it."""

    turns: int


class PeriodChange(_Body, frozen=True):
    """``time_zone`` is a name such as ``Europe/Berlin``; ``none`` ends a period.

    ``resets_ms`` is the first reset, in Unix milliseconds; left out: the next midnight that fits.
    """

    period: Literal["none", "day", "month"]
    time_zone: str = "UTC"
    resets_ms: int | None = None


class CheckpointWish(_Body, frozen=True):
    """``force`` takes the accounts as they are, also if the ledger does not add up to them."""

    force: bool = False


class Trim(_Body, frozen=True):
    """``checkpoint`` is the entry with which a checkpoint begins; what is before it goes."""

    checkpoint: str


class AuditTrim(_Body, frozen=True):
    """``head`` is the chain's head after entry ``to_seq``, in hex."""

    to_seq: int
    head: str


class AcceptedHead(_Body, frozen=True):
    """``reason`` stands in the installation's audit log."""

    reason: str


class NewPolicy(_Body, frozen=True):
    """Patterns of actions; blocked wins over ask, and ask over allow.

    With ``expected_version``, 0 for none, the change is refused if another version is in force.
    """

    blocked: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    expected_version: int | None = None


class PolicyQuestion(_Body, frozen=True):
    """``action`` is one such as ``exec://git push``, or a tool's name.

    ``effect`` and ``risk`` are the tool's, as it declares them.
    """

    action: str
    agent: str = ""
    effect: Effect = "at_most_once"
    risk: Risk = "low"


class NewKey(_Body, frozen=True):
    """``workspaces`` are names, or ``["*"]`` for all.

    An ``approver`` may answer questions about calls, grant and revoke.
    """

    name: str
    workspaces: tuple[str, ...]
    admin: bool = False
    approver: bool = False


class Revocation(_Body, frozen=True):
    """``session`` is one of the tree that is meant; empty for the workspace."""

    scope: Scope
    session: str = ""


class Revoked(msgspec.Struct, frozen=True):
    """How many ended."""

    revoked: int


class AllowanceImport(_Body, frozen=True):
    """``entries`` as the export gave them."""

    entries: list[AllowanceView]


class PresentedCapability(_Body, frozen=True):
    token: str


class CapabilityQuestion(_Body, frozen=True):
    """One of them."""

    token: str = ""
    id: str = ""


class MintedCapability(msgspec.Struct, frozen=True):
    """A right just made. The token is also kept, and is in force, in the workspace."""

    token: str
    capability: CapabilityView


class ManifestAcceptance(_Body, frozen=True):
    """Without a ``tool`` it is about all changed ones. ``sha256`` is of the look decided on."""

    agent: str
    server: str
    tool: str = ""
    sha256: str = ""


class Added(msgspec.Struct, frozen=True):
    """Where in the conversation the message stands, counted from 0."""

    index: int


class SessionBudget(msgspec.Struct, frozen=True):
    """The session's own account, and all that a debit of it touches in the order of checking."""

    account: AccountView
    path: list[AccountView]


class Health(msgspec.Struct, frozen=True):
    status: Literal["up"]


class DurabilityState(msgspec.Struct, frozen=True):
    """``mismatches``: settings of Redis that are not as the profile wants them, in words."""

    profile: Literal["dev", "standard", "strict"]
    matches: bool
    mismatches: list[str]


class Readiness(msgspec.Struct, frozen=True):
    """``queue`` may be ``unavailable`` in a gateway that is ready: inputs are durable without.

    ``sealing`` says how far the audit logs are sealed; null before any gateway did so.
    """

    status: Literal["ready"]
    store: Literal["ok"]
    queue: Literal["ok", "unavailable"]
    workers: int
    versions: dict[str, str]
    durability: DurabilityState
    sealing: SealingState | None = None
