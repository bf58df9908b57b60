"""What a client reads of audit logs. See `bursar.client.views`."""

from typing import Any

import msgspec

__all__ = [
    "AcceptedAudit",
    "AuditEntry",
    "AuditPage",
    "AuditSeal",
    "AuditState",
    "SealingState",
    "TrimmedAudit",
]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, and what allowed or denied it.

    ``actor`` is ``key:<id>``, ``agent:<name>``, ``worker:<id>`` or ``system``; ``action`` is what a
    tool call amounts to, or a word such as ``budget.limit``. ``decision`` is ``allow``, ``deny``,
    ``ask``, or ``done`` for what was no question; ``proof`` and ``proof_id`` say what it rests on.
    """

    seq: int
    at_ms: int
    workspace: str
    actor: str
    action: str
    decision: str
    proof: str = "system"
    proof_id: str = ""
    session: str = ""
    turn: str = ""
    arguments_sha256: str = ""
    cost_microusd: int = 0
    outcome: str = ""
    reason: str = ""
    details: dict[str, Any] = {}


class AuditPage(msgspec.Struct, frozen=True):
    """Entries; if there is ``more``, go on from ``seen_seq``, the last one that was looked at."""

    entries: list[AuditEntry]
    seen_seq: int
    more: bool


class AuditSeal(msgspec.Struct, frozen=True):
    """A signature over entries ``from_seq`` to ``to_seq`` and, through ``previous``, all before."""

    workspace: str
    from_seq: int
    to_seq: int
    count: int
    previous: str
    head: str
    marks: str
    at_ms: int
    kid: str
    signature: str


class AuditState(msgspec.Struct, frozen=True):
    """How far a log goes: entries ever, those with a seal, those exported, those dropped.

    ``published`` is the newest seal as it is kept apart from the log; ``problem`` says what keeps
    the sealer from going on.
    """

    workspace: str
    audit_seq: int
    sealed_seq: int
    published_seq: int
    exported_seq: int
    trimmed_seq: int
    published: AuditSeal | None
    problem: str = ""


class TrimmedAudit(msgspec.Struct, frozen=True):
    """How many entries were dropped, the last one of them, and whether there is more to drop."""

    entries: int
    trimmed_seq: int
    more: bool


class AcceptedAudit(msgspec.Struct, frozen=True):
    """The head that was published of a log, and the one that the log has and that is now."""

    published_seq: int
    published_head: str
    seq: int
    head: str


class SealingState(msgspec.Struct, frozen=True):
    """How sealing goes in the installation: ``lag_ms`` is the age of the oldest unsealed entry.

    ``broken`` logs cannot be sealed, because something in them is wrong.
    """

    at_ms: int
    unsealed: int
    lag_ms: int
    broken: int
