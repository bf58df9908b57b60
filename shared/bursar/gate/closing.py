"""How a question ends without an answer."""

import msgspec

from bursar.audit.entries import SYSTEM, Record
from bursar.events import Span
from bursar.gate.approvals import ApprovalState, ApprovalView, told_of
from bursar.leases import Lease
from bursar.store.keys import SessionKeys
from bursar.store.scripts import approvals as scripts
from bursar.store.store import Store

__all__ = ["close", "expiry"]


def expiry(view: ApprovalView, *, by: str = SYSTEM) -> tuple[bytes, bytes]:
    """Bodies of event and audit entry for a question whose time is over; scripts complete them."""
    span = Span(view.session, view.turn, view.step)
    record = Record(
        workspace=view.workspace,
        actor=by,
        action="approval.expire",
        decision="done",
        proof="approval",
        proof_id=view.id,
        session=view.session,
        turn=view.turn,
    )
    told = told_of(msgspec.structs.asdict(view))
    return span.event("approval.resolved", **told).body, record.body


async def close(
    store: Store,
    session: SessionKeys,
    question: ApprovalView,
    state: ApprovalState,
    why: str,
    *,
    lease: Lease | None = None,
) -> None:
    """Close a question of a session; one that is closed stays as it is.

    Args:
        state: ``cancelled``, ``void`` or ``granted``.
        lease: of the drive that closes it.

    """
    span = Span(question.session, question.turn, question.step)
    told = told_of(msgspec.structs.asdict(question)) | {"state": state, "why": why}
    record = Record(
        workspace=question.workspace,
        actor=SYSTEM,
        action="approval.close",
        decision="done",
        proof="approval",
        proof_id=question.id,
        session=question.session,
        turn=question.turn,
        outcome=state,
        reason=why,
    )
    await scripts.close(
        store,
        session,
        question.id,
        state=state,
        why=why,
        told=span.event("approval.resolved", **told).body,
        audit=record.body,
        lease=lease,
    )
