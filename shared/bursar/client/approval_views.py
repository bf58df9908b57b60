"""What a client reads about questions to people and their answers. See `bursar.client.views`."""

import msgspec

from bursar.client.capability_views import OutsidePath

__all__ = [
    "OPEN",
    "AllowanceView",
    "ApprovalView",
    "ImportedAllowances",
    "NewAllowance",
    "OutsidePlace",
    "RevokedAllowances",
]

OPEN = frozenset({"pending", "deferred"})
"""States of a question that takes an answer."""


class OutsidePlace(msgspec.Struct, frozen=True):
    """A place outside of the session's folder that a call wants to reach."""

    path: str
    operation: str = ""
    volume: str = ""


class ApprovalView(msgspec.Struct, frozen=True, kw_only=True):
    """A question about a call, with all that an answer has to be based on.

    ``arguments`` is canonical JSON, and what runs if it is approved; an answer repeats
    ``arguments_sha256``. ``chain`` are the sessions from the tree's root down to the one that asks.
    ``fallback`` is what becomes of the call when nobody answers before ``deadline_ms``, ``why`` why
    it was deferred or closed; one that is ``released`` was passed by its turn, and a late answer
    comes to the session as an input. ``grant`` is what an answer allowed beside the call.
    """

    id: str
    workspace: str
    session: str
    root: str
    user: str
    agent: str
    chain: tuple[str, ...] = ()
    turn: str = ""
    step: int = 0
    call: str = ""
    tool: str
    server: str = "local"
    action: str
    effect: str = ""
    risk: str = ""
    priority: str = ""
    state: str
    reason: str = ""
    stage: str = ""
    remedy: str = ""
    arguments: str
    arguments_sha256: str
    manifest: str = ""
    policy: str = ""
    folder: str = ""
    outside: tuple[OutsidePlace, ...] = ()
    cost_microusd: int = 0
    asked_of: str = ""
    fallback: str = ""
    created_ms: int = 0
    deadline_ms: int = 0
    heard: int = 0
    why: str = ""
    deferred_ms: int = 0
    released: bool = False
    asked_again: int = 0
    decision: str = ""
    scope: str = ""
    grant: str = ""
    edited: bool = False
    answered_by: str = ""
    answered_ms: int = 0
    note: str = ""
    generation: int = 0
    answer_id: str = ""

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class NewAllowance(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What to allow from now on: calls that match ``pattern``.

    ``scope`` is ``workspace``, ``tree`` or ``session``, for which ``session`` names one. With
    ``paths`` it also opens these places outside of the sessions' folders; with ``folder`` it counts
    only in sessions that have this folder.
    """

    pattern: str
    scope: str = "workspace"
    session: str = ""
    expires_in_s: int | None = None
    max_uses: int | None = None
    folder: str = ""
    paths: tuple[OutsidePath, ...] = ()
    note: str = ""


class AllowanceView(msgspec.Struct, frozen=True):
    """An allowance; ``uses_left`` is None for one that is good for any number of calls."""

    id: str
    pattern: str
    scope: str
    session: str
    root: str
    created_ms: int
    created_by: str
    approval: str
    expires_ms: int | None
    max_uses: int | None
    uses_left: int | None
    folder: str
    manifest: str
    paths: tuple[OutsidePath, ...]
    note: str


class ImportedAllowances(msgspec.Struct, frozen=True):
    """How many entries were taken, were there before, or had ended and stay so."""

    added: int
    present: int
    used_up: int


class RevokedAllowances(msgspec.Struct, frozen=True):
    """How many ended."""

    revoked: int
