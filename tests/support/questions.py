"""Questions to people in tests that have no worker: put by hand, as a worker puts them."""

from typing import Any

from bursar.audit.entries import Record
from bursar.events import Span
from bursar.gate.approvals import told_of
from bursar.gate.canonical import canonical
from bursar.ids import new_id
from bursar.leases import Lease
from bursar.store.codec import encode_json
from bursar.store.scripts import tools, turns
from bursar.store.scripts.tools import Asked
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store

__all__ = ["put_question"]


async def put_question(
    store: Store,
    lease: Lease,
    turn: str,
    *,
    call: str = "c1",
    arguments: str = '{"to": "bob"}',
    deadline_ms: int = 300_000,
    version: str = "0",
    root: str = "",
    **fields: Any,
) -> Asked:
    """Ask about a call of the turn's first step; the turn goes on being driven."""
    session = lease.session
    plain = canonical(arguments)
    question = new_id("apr")
    record: dict[str, Any] = {
        "id": question, "workspace": session.workspace.id, "session": session.id,
        "root": root or session.id, "user": "ann", "agent": "echo", "chain": session.id,
        "turn": turn, "step": 1, "call": call, "tool": "send", "server": "local",
        "action": "tool://local/send", "effect": "at_most_once", "risk": "low", "priority": "low",
        "reason": "default for tools with effects", "stage": "policy_allow",
        "arguments": plain.text, "arguments_sha256": plain.sha256, "manifest": "m", "policy": "p",
        "outside": encode_json([]), "cost_microusd": 0, "fallback": "block",
        "repeat_key": f"{session.id} local/send {plain.sha256}",
    }  # fmt: skip
    record |= fields
    await turns.commit_step(store, lease, turn, Commit(effects={f"call:{call}": "intent"}), [])
    told = Span(session.id, turn, 1).event("approval.requested", **told_of(record))
    audit = Record(
        workspace=session.workspace.id, actor="agent:echo", action="tool://local/send",
        decision="ask", proof_id=question,
    )  # fmt: skip
    return await tools.ask(
        store, lease, f"call:{call}", approval=question, version=version,
        repeat_key=record["repeat_key"], deadline_ms=deadline_ms, fields=record,
        told=told.body, audit=audit.body,
    )  # fmt: skip
