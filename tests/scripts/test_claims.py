"""A claim that begins the turn its bell was about, and claims that are refused or let through."""

from typing import Any

import pytest

from bursar.leases import Claimed, ClaimRefused, InboxItem
from bursar.messages import UserMessage
from bursar.store.scripts import inputs, leases, sessions
from bursar.store.scripts.leases import Claimant
from support.stage import LEASE_MS, Stage, claimant, unchanged


async def change(stage: Stage, **settings: str | int) -> None:
    await sessions.open_workspace(
        stage.store, "acme", limit="unlimited", warn_percent=80, settings=settings
    )


async def queued(stage: Stage, words: str = "hello") -> InboxItem:
    accepted = await stage.put(words)
    return InboxItem(accepted.inbox_seq, "input", accepted.turn)


async def claim(stage: Stage, who: Claimant | None = None, **how: Any) -> Claimed | ClaimRefused:
    return await leases.claim(stage.store, stage.session, who or claimant("w9"), owner="o9", **how)


def stranger(worker: str = "w9") -> Claimant:
    """A worker that does not serve the session's agent."""
    return Claimant(worker, ("other",), LEASE_MS)


async def state_of(stage: Stage, item: InboxItem) -> str:
    return (await stage.hash(stage.ws.turn(item.target)))["state"]


async def asked_to_cancel(stage: Stage) -> inputs.Cancelled:
    """A parked turn that is to be cancelled."""
    lease, turn = await stage.running()
    assert await stage.park(lease, turn, seen_seq=1)
    return await stage.cancel(turn)


async def test_a_claim_begins_the_turn_of_its_bell(stage: Stage) -> None:
    item = await queued(stage)
    claimed = await stage.claim(item=item)
    record = await stage.hash(stage.ws.turn(item.target))
    assert (record["state"], record["first_message"]) == ("running", "0")
    assert int(record["started_ms"]) > 0
    assert "input" not in record
    assert (claimed.fields["turn"], claimed.fields["turn_count"]) == (item.target, "1")
    assert await stage.stats() == {
        "sessions:running": 1,
        "sessions:live": 1,
        "turns:running": 1,
        "leases": 1,
    }


async def test_a_turn_begun_by_a_claim_has_its_message(stage: Stage) -> None:
    item = await queued(stage, "do this")
    await stage.claim(item=item)
    assert await stage.messages() == [UserMessage("do this", turn=item.target)]
    assert await stage.field("message_count") == "1"


async def test_a_turn_begun_by_a_claim_is_announced_with_agent_and_worker(stage: Stage) -> None:
    item = await queued(stage)
    claimed = await stage.claim(item=item)
    last = (await stage.events())[-1]
    body = last.decode()
    assert (last.kind, body["turn"], body["agent"], body["worker"]) == (
        "turn.started",
        item.target,
        "echo",
        "w1",
    )
    assert claimed.fields["event_seq"] == str(last.seq)


async def test_the_item_of_a_turn_begun_by_a_claim_is_gone(stage: Stage) -> None:
    first = await queued(stage)
    second = await queued(stage)
    claimed = await stage.claim(item=first)
    assert claimed.inbox == [second]
    assert await stage.items() == [second.raw]


async def test_a_turn_begun_by_a_claim_goes_on_like_any_other(stage: Stage) -> None:
    item = await queued(stage)
    claimed = await stage.claim(item=item)
    await stage.commit(claimed.lease, item.target)
    assert not await stage.finish(claimed.lease, item.target)
    assert await state_of(stage, item) == "succeeded"


async def test_a_claim_begins_no_turn_past_another_input(stage: Stage) -> None:
    first = await queued(stage)
    second = await queued(stage)
    claimed = await stage.claim(item=second)
    assert claimed.fields["turn"] == ""
    assert claimed.inbox == [first, second]
    assert (await state_of(stage, first), await state_of(stage, second)) == ("queued", "queued")


async def test_a_claim_begins_no_turn_that_was_cancelled(stage: Stage) -> None:
    first = await queued(stage)
    second = await queued(stage)
    await stage.cancel(first.target)
    claimed = await stage.claim(item=first)
    assert (claimed.fields["turn"], claimed.inbox) == ("", [second])
    assert await state_of(stage, first) == "cancelled"


async def test_a_claim_begins_no_turn_whose_record_is_not_queued(stage: Stage) -> None:
    item = await queued(stage)
    await stage.store.redis.call("DEL", stage.ws.turn(item.target))
    claimed = await stage.claim(item=item)
    assert (claimed.fields["turn"], claimed.inbox) == ("", [item])
    assert await stage.messages() == []


async def test_a_claim_begins_no_turn_beside_one_under_way(stage: Stage) -> None:
    _, turn = await stage.running()
    item = await queued(stage)
    await stage.expire_lease()
    claimed = await stage.claim("o2", item=item)
    assert (claimed.fields["turn"], claimed.inbox) == (turn, [item])
    assert await state_of(stage, item) == "queued"


async def test_a_claim_begins_no_turn_beside_one_that_is_parked(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.park(lease, turn, seen_seq=1)
    item = await queued(stage)
    claimed = await stage.claim("o2", item=item)
    assert claimed.fields["turn"] == turn
    assert await state_of(stage, item) == "queued"


async def test_a_claim_that_began_a_turn_answers_its_owner_the_same_again(stage: Stage) -> None:
    item = await queued(stage)
    first = await stage.claim(item=item)
    async with unchanged(stage.store):
        assert await stage.claim(item=item) == first


async def test_a_refused_claim_begins_no_turn(stage: Stage) -> None:
    item = await queued(stage)
    await stage.claim()
    async with unchanged(stage.store):
        assert await claim(stage, item=item) == ClaimRefused("held", "w1")


async def test_a_blocked_claim_begins_no_turn(stage: Stage) -> None:
    item = await queued(stage)
    await change(stage, paused=1)
    assert await claim(stage, item=item) == ClaimRefused("blocked", "paused")
    assert await state_of(stage, item) == "queued"


async def test_a_worker_that_does_not_serve_the_agent_leaves_the_session_ready(
    stage: Stage,
) -> None:
    item = await queued(stage)
    async with unchanged(stage.store):
        assert await claim(stage, stranger(), item=item) == ClaimRefused("unserved", "echo")
    assert await stage.is_ready()


async def test_a_worker_that_does_not_serve_the_agent_takes_nothing_over(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    async with unchanged(stage.store):
        assert await claim(stage, stranger()) == ClaimRefused("unserved", "echo")


async def test_after_an_outage_an_expired_lease_is_not_taken(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    async with unchanged(stage.store):
        assert await claim(stage, take_over=False) == ClaimRefused("held", "w1")


async def test_after_an_outage_a_reaped_lease_is_not_taken_and_stays_ready(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    await leases.reap(stage.store, stage.session)
    async with unchanged(stage.store):
        assert await claim(stage, take_over=False) == ClaimRefused("held", "w1")
    assert await stage.is_ready()


async def test_after_an_outage_an_expired_lease_is_not_taken_for_a_cancel(stage: Stage) -> None:
    _, turn = await stage.running()
    await stage.expire_lease()
    await stage.cancel(turn)
    async with unchanged(stage.store):
        assert await claim(stage, take_over=False) == ClaimRefused("held", "w1")


async def test_after_an_outage_a_lease_that_was_given_back_is_taken(stage: Stage) -> None:
    lease, turn = await stage.running()
    await leases.release(stage.store, lease)
    claimed = await claim(stage, take_over=False)
    assert isinstance(claimed, Claimed)
    assert (claimed.takeover, claimed.fields["turn"]) == (False, turn)


async def test_after_an_outage_a_turn_is_begun_as_ever(stage: Stage) -> None:
    item = await queued(stage)
    claimed = await claim(stage, item=item, take_over=False)
    assert isinstance(claimed, Claimed)
    assert claimed.fields["turn"] == item.target


async def took_down_two(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    await stage.claim("o2")
    await stage.expire_lease()


async def test_a_session_that_took_down_two_workers_needs_one_with_room_for_it(
    stage: Stage,
) -> None:
    await took_down_two(stage)
    async with unchanged(stage.store):
        assert await claim(stage, alone=False) == ClaimRefused("suspect")
    claimed = await claim(stage, alone=True)
    assert isinstance(claimed, Claimed)
    assert claimed.fields["attempts"] == "2"


async def test_a_session_that_took_down_three_workers_needs_no_room(stage: Stage) -> None:
    await took_down_two(stage)
    await stage.claim("o3")
    await stage.expire_lease()
    assert isinstance(await claim(stage, alone=False), Claimed)


async def test_a_session_that_took_down_one_worker_needs_no_room(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    assert isinstance(await claim(stage, alone=False), Claimed)


async def test_a_suspect_that_was_given_back_without_progress_stays_one(stage: Stage) -> None:
    await took_down_two(stage)
    claimed = await stage.claim("o3")
    await leases.release(stage.store, claimed.lease)
    async with unchanged(stage.store):
        assert await claim(stage, alone=False) == ClaimRefused("suspect")


async def test_a_suspect_that_made_progress_is_none_any_more(stage: Stage) -> None:
    await took_down_two(stage)
    claimed = await stage.claim("o3")
    await stage.commit(claimed.lease, claimed.fields["turn"])
    await leases.release(stage.store, claimed.lease)
    assert isinstance(await claim(stage, alone=False), Claimed)


async def test_a_cancel_is_held_up_by_no_pause(stage: Stage) -> None:
    await asked_to_cancel(stage)
    await change(stage, paused=1)
    assert isinstance(await claim(stage), Claimed)


async def test_a_cancel_takes_a_session_that_a_pause_has_blocked(stage: Stage) -> None:
    _, turn = await stage.running()
    await stage.expire_lease()
    await change(stage, paused=1)
    assert await claim(stage) == ClaimRefused("blocked", "paused")
    await stage.cancel(turn)
    assert await stage.is_ready()
    claimed = await claim(stage)
    assert isinstance(claimed, Claimed)
    assert claimed.fields["blocked"] == ""


async def test_a_cancel_is_held_up_by_no_full_cap(stage: Stage) -> None:
    await change(stage, max_running=1)
    await asked_to_cancel(stage)
    second = stage.other("ses2")
    await second.open()
    await second.running("o2")
    assert isinstance(await claim(stage), Claimed)
    assert (await stage.stats())["leases"] == 2


async def test_a_cancel_needs_no_worker_of_the_agent(stage: Stage) -> None:
    await asked_to_cancel(stage)
    claimed = await claim(stage, stranger())
    assert isinstance(claimed, Claimed)
    assert [item.kind for item in claimed.inbox] == ["cancel"]


async def test_a_cancel_takes_an_expired_lease_over_without_the_agent(stage: Stage) -> None:
    _, turn = await stage.running()
    await stage.expire_lease()
    await stage.cancel(turn)
    claimed = await claim(stage, stranger())
    assert isinstance(claimed, Claimed)
    assert claimed.takeover


async def test_a_claim_for_a_cancel_begins_no_turn(stage: Stage) -> None:
    cancelled = await asked_to_cancel(stage)
    item = await queued(stage)
    claimed = await claim(stage, stranger(), item=item)
    assert isinstance(claimed, Claimed)
    assert cancelled.told is not None
    assert claimed.fields["inbox_seq"] == str(cancelled.told.ring.inbox_seq + 1)
    assert await state_of(stage, item) == "queued"


@pytest.mark.parametrize("setting", [{"paused": 1}, {"max_running": 0}])
async def test_a_session_is_held_up_again_once_its_cancelled_turn_has_ended(
    stage: Stage, setting: dict[str, int]
) -> None:
    await asked_to_cancel(stage)
    await queued(stage)
    await change(stage, **setting)
    claimed = await stage.claim("o2")
    items = [item for item in claimed.inbox if item.kind == "cancel"]
    assert await stage.finish(
        claimed.lease, claimed.fields["turn"], outcome="cancelled", items=items
    )
    assert await leases.release(stage.store, claimed.lease)
    refused = await claim(stage)
    assert isinstance(refused, ClaimRefused)
    assert refused.status == "blocked"
