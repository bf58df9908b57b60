"""What an audit entry says. Entries are written in the script of the thing that they record."""

from typing import Any, Literal

import msgspec

from bursar.store.codec import encode_json

__all__ = ["SYSTEM", "Decision", "Proof", "Record"]

SYSTEM = "system"
"""Who acted when it was nobody: a timer, an end that was due."""

Proof = Literal["policy", "capability", "allowance", "approval", "hook", "system"]
"""What a decision rests on."""
Decision = Literal["allow", "deny", "ask", "done"]
"""``done`` is for what was not a question, such as a changed limit."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An entry before it is written; its ``seq`` and ``at_ms`` are added there.

    Args:
        actor: who acted: ``key:<id>``, ``agent:<name>``, ``worker:<id>`` or ``system``.
        action: what it is about: ``tool://…``, or a word such as ``budget.limit``.
        proof_id: which rule, allowance, capability or approval the decision rests on.
        arguments_sha256: of the call's arguments in their canonical form.
        details: further facts, small.

    """

    workspace: str
    actor: str
    action: str
    decision: Decision
    proof: Proof = "system"
    proof_id: str = ""
    session: str = ""
    turn: str = ""
    arguments_sha256: str = ""
    cost_microusd: int = 0
    outcome: str = ""
    reason: str = ""
    details: dict[str, Any] = {}

    @property
    def body(self) -> bytes:
        """The entry as scripts take it."""
        return encode_json(self)
