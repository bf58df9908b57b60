"""Turns in an account's line: who waits, who may go on, and who is told what."""

import pytest

from bursar.errors import BursarError, Fenced, InvalidInput, NotFound
from bursar.leases import Lease
from bursar.store.codec import text
from bursar.store.scripts import accounts, parking, waiters
from bursar.store.scripts.accounts import LimitWish
from bursar.store.scripts.leases import Ring
from bursar.store.scripts.parking import MoneyWait, Parking
from bursar.store.scripts.waiters import How, Waiter
from support.purse import BAD_AMOUNTS, account, end
from support.stage import Stage, unchanged

LIMIT = 1_000_000


async def limited(stage: Stage, limit: int = LIMIT) -> None:
    await accounts.set_limit(
        stage.store, "acme", "ws", LimitWish(limit=str(limit)), change_id=f"l{limit}"
    )


async def other(stage: Stage, sid: str) -> tuple[Stage, Lease, str]:
    """Another session of the workspace with a turn under way."""
    more = stage.other(sid)
    await more.open()
    lease, turn = await more.running(f"o-{sid}")
    return more, lease, turn


async def waits(stage: Stage, sid: str, cost: int) -> str:
    more, lease, turn = await other(stage, sid)
    assert await more.park_for_money(lease, turn, cost=cost) is Parking.DONE
    return turn


async def may(stage: Stage, gone: list[str] | None = None) -> list[str]:
    found = await waiters.may_go_on(stage.store, stage.ws, "ws", gone or [])
    return [waiter.session for waiter in found]


async def line(stage: Stage) -> list[Waiter]:
    return await waiters.read_waiters(stage.store, stage.ws, "ws", 100)


async def questions(stage: Stage) -> list[str]:
    return [
        text(name) for name in await stage.store.redis.call("ZRANGE", stage.ws.questions, 0, -1)
    ]


async def test_a_turn_that_fits_by_now_does_not_wait(stage: Stage) -> None:
    await limited(stage)
    more, lease, turn = await other(stage, "ses2")
    async with unchanged(stage.store):
        assert await more.park_for_money(lease, turn, cost=LIMIT) is Parking.FITS
    assert await more.park_for_money(lease, turn, cost=LIMIT + 1) is Parking.DONE


async def test_what_others_hold_is_waited_for_without_a_question(
    stage: Stage, lease: Lease
) -> None:
    await limited(stage)
    hold = await stage.reserve(lease, 600_000)
    turn = await waits(stage, "ses2", 600_000)
    ((waiter),) = await line(stage)
    assert (waiter.kind, waiter.turn, waiter.cost_microusd) == ("contended", turn, 600_000)
    assert await questions(stage) == []
    assert await may(stage) == []
    ended = await end(stage, "commit", hold, actual=100)
    assert ended is not None
    assert ended.waiting == ("ws",)
    assert await may(stage) == ["ses2"]


async def test_waiting_that_has_become_useless_ends(stage: Stage, lease: Lease) -> None:
    await limited(stage)
    hold = await stage.reserve(lease, 600_000)
    await waits(stage, "ses2", 600_000)
    await end(stage, "commit", hold, actual=600_000)
    assert await may(stage) == ["ses2"], "so that it can ask"


async def test_the_first_that_does_not_fit_asks_and_the_second_does_not(stage: Stage) -> None:
    await limited(stage, 10)
    await waits(stage, "ses2", 11)
    await waits(stage, "ses3", 12)
    assert await questions(stage) == ["ws"]
    asked = (await account(stage, "ws"))["asked_ms"]
    assert int(asked) > 0
    kinds = [event.kind for event in await stage.other("ses3").events()]
    assert "budget.exhausted" not in kinds
    assert (await account(stage, "ws"))["waiting"] == "2"


async def test_those_that_fit_together_go_on_in_the_order_of_arrival(stage: Stage) -> None:
    await limited(stage, 10)
    for sid, cost in (("ses2", 50), ("ses3", 600), ("ses4", 30), ("ses5", 11)):
        await waits(stage, sid, cost)
    await limited(stage, 91)
    # 50 and 30 and 11 make 91. The 600 asks for more than is there, so it stops nobody.
    assert await may(stage) == ["ses2", "ses4", "ses5"]
    await limited(stage, 1000)
    assert await may(stage) == ["ses2", "ses3", "ses4", "ses5"]


async def test_who_waits_for_what_is_held_is_not_overtaken(stage: Stage, lease: Lease) -> None:
    await limited(stage, 100)
    hold = await stage.reserve(lease, 50)
    await waits(stage, "ses2", 80)
    await waits(stage, "ses3", 60)
    await end(stage, "release", hold)
    assert await may(stage) == ["ses2"]


async def test_a_place_in_the_line_is_kept(stage: Stage) -> None:
    await limited(stage, 10)
    first = await waits(stage, "ses2", 50)
    await waits(stage, "ses3", 50)
    more = stage.other("ses2")
    ((waiter), _) = await line(stage)
    await waiters.wake(stage.store, stage.ws, waiter, "raised")
    claimed = await more.claim("again")
    await parking.resume(
        stage.store, claimed.lease, first, claimed.inbox, [], account="ws", waiter=waiter.member
    )
    assert [each.session for each in await line(stage)] == ["ses3"]
    seq = int(await more.field("inbox_seq"))
    parked = await more.park_for_money(claimed.lease, first, cost=50, seen_seq=seq)
    assert parked is Parking.DONE
    assert [each.session for each in await line(stage)] == ["ses2", "ses3"]
    assert (await account(stage, "ws"))["waiting"] == "2"


async def test_a_turn_is_told_once_and_a_denial_comes_on_top(stage: Stage) -> None:
    await limited(stage, 10)
    await waits(stage, "ses2", 50)
    ((waiter),) = await line(stage)
    more = stage.other("ses2")

    async def told(how: How) -> bool:
        ring = await waiters.wake(stage.store, stage.ws, waiter, how, "because")
        return isinstance(ring, Ring)

    assert await told("freed")
    assert not await told("freed")
    assert await told("raised")
    assert not await told("freed")
    assert await told("denied")
    assert not await told("raised")
    turn = await more.hash(stage.ws.turn(waiter.turn))
    assert (turn["woken"], turn["woken_reason"]) == ("denied", "because")
    assert len((await more.claim()).inbox) == 3


async def test_one_that_waits_no_more_leaves_the_line(stage: Stage) -> None:
    await limited(stage, 10)
    turn = await waits(stage, "ses2", 50)
    await waits(stage, "ses3", 50)
    await limited(stage, 60)
    ((waiter), _) = await line(stage)
    await stage.store.redis.call("HSET", stage.ws.turn(turn), "waiter", "another place")
    async with unchanged(stage.store):
        assert await waiters.wake(stage.store, stage.ws, waiter, "raised") == "gone"
    assert await may(stage, [waiter.member]) == ["ses3"]
    assert (await account(stage, "ws"))["waiting"] == "1"


async def test_an_account_without_a_line_is_not_looked_at_again(stage: Stage) -> None:
    await limited(stage, 10)
    await waits(stage, "ses2", 50)
    ((waiter),) = await line(stage)
    shard = stage.ws.shard
    assert await stage.store.redis.call("ZRANGE", shard.waiting, 0, -1) == [b"acme ws"]
    assert await may(stage, [waiter.member]) == []
    assert await stage.store.redis.call("ZCARD", shard.waiting) == 0


async def test_news_come_before_waiting(stage: Stage) -> None:
    await limited(stage, 10)
    more, lease, turn = await other(stage, "ses2")
    await more.put("too", if_busy="inject")
    async with unchanged(stage.store):
        assert await more.park_for_money(lease, turn, cost=50) is Parking.NEWS


async def test_only_its_driver_lets_a_turn_wait(stage: Stage) -> None:
    await limited(stage, 10)
    more, lease, turn = await other(stage, "ses2")
    await more.expire_lease()
    await more.claim("thief")
    async with unchanged(stage.store):
        with pytest.raises(Fenced):
            await more.park_for_money(lease, turn, cost=50)


@pytest.mark.parametrize("cost", BAD_AMOUNTS)
async def test_what_is_no_amount_is_not_waited_for(stage: Stage, cost: str) -> None:
    more, lease, turn = await other(stage, "ses2")
    wait = MoneyWait("ws", cost, 1, keeps=False, asks=b"{}")  # type: ignore[arg-type]
    async with unchanged(stage.store):
        with pytest.raises(InvalidInput):
            await parking.park_for_money(
                stage.store, lease, turn, wait, seen_seq=1, events=[more.event("x", turn)]
            )


async def test_an_account_that_is_not_there_is_not_waited_for(stage: Stage) -> None:
    more, lease, turn = await other(stage, "ses2")
    async with unchanged(stage.store):
        with pytest.raises(NotFound):
            await more.park_for_money(lease, turn, account="user:nobody", cost=5)


# -- what was booked is corrected downwards


async def test_an_unconfirmed_hold_is_lowered_by_a_late_commit(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 300)
    await end(stage, "expire", hold, secret="")
    late = await end(stage, "commit", hold, actual=120)
    assert late is not None
    assert (late.state, late.actual_microusd) == ("committed", 120)
    for name in stage.path.names:
        fields = await account(stage, name)
        assert (fields["posted"], fields["pending"]) == ("120", "0")
    async with unchanged(stage.store):
        again = await end(stage, "commit", hold, actual=90)
    assert again is not None
    assert again.actual_microusd == 120


async def test_a_late_commit_never_books_more(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 300)
    await end(stage, "expire", hold, secret="")
    late = await end(stage, "commit", hold, actual=301)
    assert late is not None
    assert late.actual_microusd == 300
    assert (await account(stage, "ws"))["posted"] == "300"


async def test_an_adjustment_goes_down_only_and_needs_the_secret(
    stage: Stage, lease: Lease
) -> None:
    hold = await stage.reserve(lease, 300)
    async with unchanged(stage.store):
        with pytest.raises(BursarError) as caught:
            await end(stage, "adjust", hold, actual=1)
    assert caught.value.code == "hold_open"
    await end(stage, "commit", hold, actual=200)
    async with unchanged(stage.store):
        for actual, secret, code in ((201, None, "not_lower"), (1, "guess", "hold_not_yours")):
            with pytest.raises(BursarError) as caught:
                await end(stage, "adjust", hold, actual=actual, secret=secret)
            assert caught.value.code == code
    adjusted = await end(stage, "adjust", hold, actual=150)
    assert adjusted is not None
    assert adjusted.actual_microusd == 150
    assert (await account(stage, "ws"))["posted"] == "150"


# -- accounts that start anew


async def test_a_reset_counts_from_zero_and_keeps_what_is_held(stage: Stage, lease: Lease) -> None:
    first = await stage.reserve(lease, 300)
    await end(stage, "commit", first, actual=200)
    second = await stage.reserve(lease, 100, hold_id="h/2")
    assert not await accounts.reset_account(stage.store, "acme", "ws", change_id="r1")
    fields = await account(stage, "ws")
    assert (fields["posted"], fields["pending"]) == ("0", "100")
    async with unchanged(stage.store):
        await accounts.reset_account(stage.store, "acme", "ws", change_id="r1")
    await end(stage, "commit", second, actual=60)
    assert (await account(stage, "ws"))["posted"] == "60"


async def test_a_reset_that_is_due_happens_once(stage: Stage) -> None:
    shard = stage.ws.shard
    timer = stage.ws.period_timer("ws")
    await accounts.set_period(
        stage.store, "acme", "ws", change_id="p1", period="day", time_zone="UTC", resets_ms=10**14
    )
    async with unchanged(stage.store):
        await accounts.reset_account(
            stage.store, "acme", "ws", change_id="d", due_ms=10**14, next_ms=2 * 10**14
        )
    await stage.store.redis.call("HSET", stage.ws.account("ws"), "resets_ms", 5, "posted", 7)
    await accounts.reset_account(stage.store, "acme", "ws", change_id="d", due_ms=5, next_ms=900)
    fields = await account(stage, "ws")
    assert (fields["posted"], fields["resets_ms"]) == ("0", "900")
    assert int(await stage.store.redis.call("ZSCORE", shard.timers, timer)) == 900
    async with unchanged(stage.store):
        await accounts.reset_account(
            stage.store, "acme", "ws", change_id="d", due_ms=5, next_ms=901
        )


async def test_a_period_that_begins_in_the_past_is_refused(stage: Stage) -> None:
    async with unchanged(stage.store):
        for due in (1, 0):
            with pytest.raises(InvalidInput):
                await accounts.set_period(
                    stage.store, "acme", "ws", change_id="p", period="day", time_zone="UTC",
                    resets_ms=due,
                )  # fmt: skip
        with pytest.raises(NotFound):
            await accounts.set_period(
                stage.store, "acme", "user:no", change_id="p", period="none", time_zone="UTC",
                resets_ms=0,
            )  # fmt: skip


# -- what people are asked about


async def test_a_change_that_helps_nobody_leaves_the_question(stage: Stage) -> None:
    await limited(stage, 10)
    await waits(stage, "ses2", 50)
    warn = LimitWish(warn_percent="70")
    await accounts.set_limit(stage.store, "acme", "ws", warn, change_id="w")
    assert await questions(stage) == ["ws"]
    assert await may(stage) == []
    assert await questions(stage) == ["ws"]
    await limited(stage, 50)
    assert await may(stage) == ["ses2"]
    assert await questions(stage) == []


async def test_a_question_that_was_lost_is_asked_again(stage: Stage) -> None:
    await limited(stage, 10)
    await waits(stage, "ses2", 50)
    await stage.store.redis.call("ZREM", stage.ws.questions, "ws")
    await stage.store.redis.call("HDEL", stage.ws.account("ws"), "asked_ms")
    assert await may(stage) == []
    assert await questions(stage) == ["ws"]


async def test_an_empty_line_asks_nothing(stage: Stage) -> None:
    await limited(stage, 10)
    await waits(stage, "ses2", 50)
    ((waiter),) = await line(stage)
    assert await may(stage, [waiter.member]) == []
    assert await questions(stage) == []
    assert "asked_ms" not in await account(stage, "ws")
