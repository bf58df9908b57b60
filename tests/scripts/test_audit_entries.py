"""What changes sessions, budgets and workspaces says so in the audit log, in the same script."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bursar.audit.listing import AuditEntry
from bursar.errors import BursarError
from bursar.leases import Lease
from bursar.store.codec import decode_json
from bursar.store.scripts import accounts, budgets, leases, sessions
from bursar.store.scripts.accounts import LimitWish
from bursar.store.scripts.inputs import cancel_turn
from bursar.store.scripts.sessions import Idempotency
from bursar.store.scripts.turns import Commit
from support.purse import end
from support.stage import Stage, unchanged

ANN = "key:ann"
FAR_MS = 10**13


async def entries(stage: Stage, *, after: int = 2) -> list[AuditEntry]:
    """What was written since the stage's workspace and its session were made."""
    found = await stage.store.redis.call("XRANGE", stage.ws.audit, f"{after + 1}-0", "+")
    return [decode_json(fields[b"d"], AuditEntry) for _, fields in found]


async def only(stage: Stage, *, after: int = 2) -> AuditEntry:
    (entry,) = await entries(stage, after=after)
    return entry


def facts(entry: AuditEntry) -> tuple[str, str, str, str]:
    return entry.actor, entry.action, entry.session, entry.outcome


async def test_a_workspace_and_a_session_begin_with_an_entry(stage: Stage) -> None:
    workspace, session = await entries(stage, after=0)
    assert facts(workspace) == ("system", "workspace.create", "", "")
    assert workspace.details == {"limit": "unlimited"}
    assert facts(session) == ("system", "session.create", "ses1", "")
    assert session.details == {"agent": "echo", "user": "u1"}


async def test_a_session_of_somebody_says_whose(stage: Stage) -> None:
    other = stage.other("ses2")
    key = Idempotency("sessions", "k1", "f1")
    new = sessions.NewSession(
        "u1", "", {"agent": "echo", "parent": "ses1"}, {}, 500, 5, 80, parent="ses1"
    )
    for _ in range(2):
        await sessions.open_session(stage.store, other.session, new, key, actor=ANN)
    entry = await only(stage)
    assert facts(entry) == (ANN, "session.create", "ses2", "")
    assert entry.details["parent"] == "ses1"
    with pytest.raises(BursarError):
        await sessions.open_session(stage.store, other.session, new, Idempotency(), actor=ANN)
    assert len(await entries(stage)) == 1, "a refusal made nothing"


async def test_the_end_of_an_idle_session_is_one_entry(stage: Stage) -> None:
    await sessions.end_session(stage.store, stage.session, actor=ANN)
    assert facts(await only(stage)) == (ANN, "session.end", "ses1", "ended")
    async with unchanged(stage.store):
        assert await sessions.end_session(stage.store, stage.session, actor=ANN) == "already"


async def test_the_end_of_a_busy_session_is_asked_for_once_and_then_comes(stage: Stage) -> None:
    queued = await stage.put()
    for _ in range(2):
        assert await sessions.end_session(stage.store, stage.session, actor=ANN) == "ending"
    await cancel_turn(stage.store, stage.session, queued.turn, "no", actor=ANN)
    asked, cancelled, ended = await entries(stage)
    assert facts(asked) == (ANN, "session.end", "ses1", "ending")
    assert facts(cancelled) == (ANN, "turn.cancel", "ses1", "")
    assert facts(ended) == ("system", "session.end", "ses1", "ended")


async def test_an_end_that_comes_with_the_lease_is_an_entry(stage: Stage) -> None:
    await stage.put()
    claimed = await stage.claim()
    await sessions.end_session(stage.store, stage.session, actor=ANN)
    await stage.store.redis.call("DEL", stage.session.inbox)
    await stage.store.redis.call("HINCRBY", stage.ws.stats, "turns:queued", -1)
    assert await leases.release(stage.store, claimed.lease) is None
    _, ended = await entries(stage)
    assert facts(ended) == ("system", "session.end", "ses1", "ended")


async def test_a_deleted_session_leaves_an_entry(stage: Stage) -> None:
    await sessions.delete_session(
        stage.store, stage.session, user="u1", workspace_path="", actor=ANN
    )
    assert facts(await only(stage)) == (ANN, "session.delete", "ses1", "")


async def test_a_session_that_cannot_be_deleted_leaves_none(stage: Stage) -> None:
    await stage.put()
    async with unchanged(stage.store):
        with pytest.raises(BursarError):
            await sessions.delete_session(
                stage.store, stage.session, user="u1", workspace_path="", actor=ANN
            )


async def test_a_cancel_by_a_person_is_recorded_once_and_others_are_not(stage: Stage) -> None:
    lease, turn = await stage.running()
    for _ in range(3):
        await cancel_turn(stage.store, stage.session, turn, "not needed", actor=ANN)
    entry = await only(stage)
    assert (entry.actor, entry.turn, entry.reason) == (ANN, turn, "not needed")
    queued = await stage.put()
    await cancel_turn(stage.store, stage.session, queued.turn, "the workspace was killed")
    assert len(await entries(stage)) == 1
    del lease


Change = Callable[[Stage, str], Awaitable[Any]]


async def raise_limit(stage: Stage, change_id: str) -> None:
    wish = LimitWish(limit="500", acknowledge=True)
    await accounts.set_limit(stage.store, "acme", "s:ses1", wish, change_id=change_id, actor=ANN)


async def set_period(stage: Stage, change_id: str) -> None:
    await accounts.set_period(
        stage.store, "acme", "s:ses1", change_id=change_id, period="day", time_zone="UTC",
        resets_ms=FAR_MS, actor=ANN,
    )  # fmt: skip


async def reset(stage: Stage, change_id: str) -> None:
    await accounts.reset_account(stage.store, "acme", "s:ses1", change_id=change_id, actor=ANN)


@pytest.mark.parametrize(
    ("change", "action", "wished"),
    [
        (raise_limit, "budget.limit", {"limit": "500", "acknowledge": True}),
        (set_period, "budget.period", {"period": "day", "time_zone": "UTC", "resets_ms": FAR_MS}),
        (reset, "budget.reset", {}),
    ],
)
async def test_a_change_of_a_budget_is_recorded_once(
    stage: Stage, change: Change, action: str, wished: dict[str, Any]
) -> None:
    for _ in range(2):
        await change(stage, "c1")
    entry = await only(stage)
    assert facts(entry) == (ANN, action, "ses1", "")
    assert entry.details == {"account": "s:ses1", "id": "c1", **wished}


async def test_a_refused_change_of_a_limit_is_not_recorded(stage: Stage) -> None:
    async with unchanged(stage.store):
        with pytest.raises(BursarError):
            await accounts.set_limit(
                stage.store, "acme", "ws", LimitWish(limit="x"), change_id="c1", actor=ANN
            )


async def test_only_corrections_of_what_was_booked_are_recorded(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 900)
    await end(stage, "commit", hold, actual=800)
    assert await entries(stage) == [], "the ledger has it"
    corrected = await budgets.end_hold(
        stage.store, stage.session, op="adjust", hold_id=hold.id, names=hold.names, turn="trn1",
        secret=hold.secret, actual_microusd=300, actor=ANN,
    )  # fmt: skip
    assert corrected is not None
    entry = await only(stage)
    assert (entry.actor, entry.action, entry.cost_microusd) == (ANN, "budget.adjust", -500)
    assert entry.details == {"hold": hold.id}
    await end(stage, "adjust", hold, actual=300)
    assert len(await entries(stage)) == 1, "nothing was corrected"


async def test_a_late_commit_that_lowers_what_was_booked_is_recorded(
    stage: Stage, lease: Lease
) -> None:
    hold = await stage.reserve(lease, 900)
    await end(stage, "expire", hold)
    await end(stage, "commit", hold, actual=100)
    entry = await only(stage)
    assert (entry.actor, entry.action, entry.cost_microusd) == ("system", "budget.adjust", -800)


async def test_a_step_that_books_money_writes_no_correction(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 900)
    await stage.commit(lease, await stage.field("turn"), Commit(steps=1, hold=hold))
    assert [one for one in await entries(stage) if one.action == "budget.adjust"] == []


async def test_changes_of_a_workspace_are_recorded_and_looking_is_not(stage: Stage) -> None:
    async def open_again(settings: dict[str, str], **more: Any) -> None:
        await sessions.open_workspace(
            stage.store, "acme", limit="5", warn_percent=1, settings=settings, **more
        )

    await open_again({}, actor=ANN)
    await open_again({"max_running": "3"}, only_new=True, actor=ANN)
    assert await entries(stage) == []
    await open_again({"max_running": "3"}, actor=ANN)
    await sessions.kill_workspace(stage.store, stage.ws, "enough", actor=ANN)
    await open_again({"killed": "0"}, actor=ANN, change="workspace.revive")
    changed, killed, revived = await entries(stage)
    assert (changed.action, changed.details) == ("workspace.change", {"max_running": "3"})
    assert (killed.actor, killed.action, killed.reason) == (ANN, "workspace.kill", "enough")
    assert (revived.action, revived.details) == ("workspace.revive", {"killed": "0"})
