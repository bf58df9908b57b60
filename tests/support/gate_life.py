"""Everything that the scripts of questions and allowances do, once."""

from bursar.audit.entries import Record
from bursar.gate import granting
from bursar.gate.approvals import get
from bursar.gate.closing import close, expiry
from bursar.gate.granting import NewAllowance
from bursar.leases import Lease
from bursar.messages import UserMessage
from bursar.store.codec import encode_message
from bursar.store.scripts import approvals, leases, turns
from bursar.store.scripts.allowances import grant_of
from bursar.store.scripts.approvals import Answer, Later
from support.questions import put_question
from support.stage import Stage

__all__ = ["ask_and_answer", "live_through_the_gate"]


async def live_through_the_gate(stage: Stage) -> None:
    """A turn that asks, is answered in every way, and what is allowed on the way."""
    lease, turn = await stage.running("gate")
    await ask_and_answer(stage, lease, turn)
    _, items = await leases.take_inbox(stage.store, lease, [])
    await turns.admit(stage.store, lease, turn, UserMessage("in other words", turn=turn))
    mine = [item for item in items if item.target == turn]
    await stage.try_finish(lease, turn, outcome="failed", items=mine)
    await leases.release(stage.store, lease)
    assert (await stage.cancel("trn_late")).status == "cancelled"


async def ask_and_answer(stage: Stage, lease: Lease, turn: str) -> None:
    """Leaves the turn running; every question is closed but one that is deferred."""
    store, ws, session = stage.store, stage.ws, stage.session
    answered = await put_question(store, lease, turn, call="a")
    assert await approvals.wake(store, session, answered.id, turn) is not None
    allowance = await granting.build(
        store, ws, NewAllowance(pattern="send", max_uses=2, expires_in_s=60), by="key:k"
    )
    record = granting.record_of(ws, "key:k", "allowance.grant", allowance)
    given = await _answer(stage, answered.id, released=False)
    grant = grant_of(ws, allowance, record.body)
    with_grant = Answer(
        given.approval, given.state, given.arguments_sha256, given.fields, given.told, given.audit,
        grant=grant,
    )  # fmt: skip
    assert await approvals.answer(store, session, with_grant, turn) is not None
    await granting.revoke(store, ws, allowance.id, by="key:k")
    await granting.allow(store, ws, NewAllowance(pattern="other"), by="key:k")

    version = await stage.hash(ws.hash)
    late = await put_question(
        store, lease, turn, call="b", arguments="{}", fallback="queue",
        version=version["gate_version"],
    )  # fmt: skip
    view = await get(store, ws, late.id)
    told, audit = expiry(view)
    woken = await approvals.expire(
        store, session, late.id, turn=turn, told=told, audit=audit, early="key:k"
    )
    assert woken is not None
    assert woken.state == "deferred"
    later = Later(
        "trn_late", encode_message(UserMessage("late")), "u1", "", "echo", no_worker=False
    )
    given = await _answer(stage, late.id, released=True)
    assert await approvals.answer_later(store, session, given, later) is not None

    closed = await put_question(
        store, lease, turn, call="c", arguments='{"c": 1}', version=version["gate_version"]
    )
    await close(store, session, await get(store, ws, closed.id), "void", "it changed", lease=lease)


async def _answer(stage: Stage, question: str, *, released: bool) -> Answer:
    view = await get(stage.store, stage.ws, question)
    record = Record(workspace=stage.ws.id, actor="key:k", action=view.action, decision="allow")
    fields = {"decision": "approve", "scope": "once", "answered_by": "key:k", "generation": 1}
    return Answer(
        question, "approved", view.arguments_sha256, fields, b"{}", record.body, released=released
    )
