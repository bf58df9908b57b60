"""Holds: all accounts of a path or none, and every refusal by name."""

import asyncio
from dataclasses import replace

import pytest

from bursar.errors import BudgetRefused, BursarError, Conflict, Fenced, InvalidInput, NotFound
from bursar.leases import Lease
from bursar.store.scripts import accounts
from bursar.store.scripts.accounts import LimitWish
from bursar.store.scripts.budgets import EndedHold, EndOp, HoldRef, Path, end_hold
from support.purse import BAD_AMOUNTS, account, end, ledger, money
from support.stage import Stage, unchanged

ORDER = ("ws", "user:u1", "s:root", "s:child", "s:ses1")


async def test_a_hold_is_pending_on_every_account_of_its_path(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 300)
    for name in stage.path.names:
        assert await money(stage, name) == (0, 300)
    record = await stage.hash(hold.key)
    assert (record["state"], record["cost"], record["sent"]) == ("open", "300", "1")
    effects = await stage.store.redis.call("HGETALL", stage.session.effects)
    assert effects == {b"hold:h/1": b"ws,user:u1,s:ses1"}


async def test_a_repeat_answers_with_the_first_secret_and_holds_once(
    stage: Stage, lease: Lease
) -> None:
    await stage.reserve(lease, 300)
    async with unchanged(stage.store):
        again = await stage.reserve(lease, 300, secret="another")
    assert again.secret == "s3cret"


async def test_an_id_with_another_amount_or_path_is_a_conflict(stage: Stage, lease: Lease) -> None:
    await stage.reserve(lease, 300)
    shorter = Path(stage.path.names[:1], stage.path.keys[:1])
    async with unchanged(stage.store):
        for cost, path in ((301, None), (300, shorter)):
            with pytest.raises(Conflict) as caught:
                await stage.reserve(lease, cost, path=path)
            assert caught.value.code == "id_conflict"


async def test_a_hold_that_ended_does_not_pay_again(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 300)
    await end(stage, "release", hold)
    async with unchanged(stage.store):
        with pytest.raises(Conflict) as caught:
            await stage.reserve(lease, 300)
    assert caught.value.code == "hold_ended"


async def test_only_the_lease_holder_reserves(stage: Stage, lease: Lease) -> None:
    async with unchanged(stage.store):
        for stale in (replace(lease, epoch=9), replace(lease, owner="thief")):
            with pytest.raises(Fenced):
                await stage.reserve(stale, 1)
        nowhere = replace(lease, session=stage.ws.session("nobody"))
        with pytest.raises(Fenced):
            await stage.reserve(nowhere, 1, path=stage.path)


async def test_a_path_with_a_missing_account_is_refused_whole(stage: Stage, lease: Lease) -> None:
    path = Path.of(stage.session, user="u1", ancestors=("nobody",))
    async with unchanged(stage.store):
        with pytest.raises(NotFound) as caught:
            await stage.reserve(lease, 1, path=path)
    assert caught.value.code == "account_not_found"
    assert "s:nobody" in str(caught.value)


@pytest.mark.parametrize("cost", BAD_AMOUNTS)
async def test_what_is_no_amount_is_not_held(stage: Stage, lease: Lease, cost: str) -> None:
    async with unchanged(stage.store):
        with pytest.raises(InvalidInput) as caught:
            await stage.reserve(lease, cost)
    assert caught.value.code == "bad_amount"


@pytest.mark.parametrize("actual", BAD_AMOUNTS)
async def test_what_is_no_amount_is_not_booked(stage: Stage, lease: Lease, actual: str) -> None:
    hold = await stage.reserve(lease, 5)
    async with unchanged(stage.store):
        with pytest.raises(InvalidInput) as caught:
            await end(stage, "commit", hold, actual=actual)
    assert caught.value.code == "bad_amount"


async def test_fifteen_digits_are_booked_exactly(stage: Stage, lease: Lease) -> None:
    await accounts.set_limit(
        stage.store, "acme", "s:ses1", LimitWish(limit="9" * 15), change_id="c1"
    )
    await accounts.set_limit(
        stage.store, "acme", "s:ses1", LimitWish(per_action="9" * 15), change_id="c2"
    )
    hold = await stage.reserve(lease, int("9" * 15))
    await end(stage, "commit", hold, actual=int("9" * 14 + "7"))
    assert await money(stage) == (int("9" * 14 + "7"), 0)
    assert (await ledger(stage))[-1]["actual"] == "9" * 14 + "7"


async def test_zero_is_an_amount(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 0)
    assert await end(stage, "commit", hold, actual=0) == EndedHold("committed", 0)


async def test_equal_to_a_limit_is_allowed_and_one_more_refused(stage: Stage, lease: Lease) -> None:
    async with unchanged(stage.store):
        with pytest.raises(BudgetRefused):
            await stage.reserve(lease, 1_000_001)
    await stage.reserve(lease, 1_000_000)
    async with unchanged(stage.store):
        with pytest.raises(BudgetRefused) as caught:
            await stage.reserve(lease, 1, hold_id="h/2")
    details = caught.value.details
    assert (details["account"], details["kind"]) == ("s:ses1", "contended")
    assert (details["available_microusd"], details["pending_microusd"]) == (0, 1_000_000)


async def test_contended_turns_into_exhausted_once_the_money_is_spent(
    stage: Stage, lease: Lease
) -> None:
    hold = await stage.reserve(lease, 600_000)
    with pytest.raises(BudgetRefused) as caught:
        await stage.reserve(lease, 600_000, hold_id="h/2")
    assert (caught.value.code, caught.value.details["kind"]) == ("budget_contended", "contended")
    await end(stage, "commit", hold, actual=600_000)
    with pytest.raises(BudgetRefused) as caught:
        await stage.reserve(lease, 600_000, hold_id="h/2")
    assert (caught.value.code, caught.value.details["kind"]) == ("budget_exhausted", "exhausted")
    assert caught.value.details["available_microusd"] == 400_000


async def deep(stage: Stage) -> Path:
    """A path of five accounts; every one of them refuses 500."""
    for name in ORDER:
        key = stage.ws.account(name)
        await stage.store.redis.call(
            "HSET", key, "limit", 400, "posted", 0, "pending", 0, "overrun", 0, "floor", 0,
            "warn_percent", 0, "warned", "", "kept", 0, "frozen", 0,
            "token_limit", "unlimited", "tokens_posted", 0, "tokens_pending", 0,
        )  # fmt: skip
    await stage.store.redis.call("HSET", stage.ws.account("s:ses1"), "per_action", 300)
    return Path.of(stage.session, user="u1", ancestors=("root", "child"))


async def test_the_first_that_refuses_is_named_in_order(stage: Stage, lease: Lease) -> None:
    path = await deep(stage)
    assert path.names == ORDER
    named = []
    own = stage.ws.account("s:ses1")
    for name in ("per_action", *ORDER):
        async with unchanged(stage.store):
            with pytest.raises(BudgetRefused) as caught:
                await stage.reserve(lease, 500, path=path)
        details = caught.value.details
        assert details["requested_microusd"] == 500
        named.append("per_action" if details["kind"] == "per_action" else details["account"])
        if name == "per_action":
            await stage.store.redis.call("HSET", own, "per_action", 500)
        else:
            await stage.store.redis.call("HSET", stage.ws.account(name), "limit", 500)
    assert named == ["per_action", *ORDER]
    await stage.reserve(lease, 500, path=path)


async def test_available_is_never_negative(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 900_000)
    await end(stage, "commit", hold, actual=1_200_000)
    with pytest.raises(BudgetRefused) as caught:
        await stage.reserve(lease, 1, hold_id="h/2")
    assert caught.value.details["available_microusd"] == 0


async def test_of_two_hundred_at_once_exactly_what_fits_is_granted(
    stage: Stage, lease: Lease
) -> None:
    await accounts.set_limit(stage.store, "acme", "ws", LimitWish(limit="100"), change_id="c1")
    asked = (stage.reserve(lease, 1, hold_id=f"h/{i}") for i in range(200))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, HoldRef) for one in outcomes) == 100
    assert sum(isinstance(one, BudgetRefused) for one in outcomes) == 100
    assert await money(stage, "ws") == (0, 100)


async def test_commit_moves_what_was_spent_and_frees_the_rest(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 300)
    assert await end(stage, "commit", hold, actual=120) == EndedHold("committed", 120)
    for name in stage.path.names:
        assert await money(stage, name) == (120, 0)
    entry = (await ledger(stage))[-1]
    assert (entry["op"], entry["cost"], entry["actual"]) == ("commit", "300", "120")
    assert await stage.store.redis.call("PTTL", hold.key) > 0
    assert await stage.store.redis.call("ZCARD", stage.ws.shard.timers) == 0
    assert not await stage.store.redis.call("EXISTS", stage.session.effects)


async def test_release_gives_everything_back(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 300)
    assert await end(stage, "release", hold) == EndedHold("released", 0)
    assert await money(stage, "ws") == (0, 0)
    assert (await ledger(stage))[-1]["op"] == "released"


@pytest.mark.parametrize(
    ("sent", "state", "posted"), [(True, "unconfirmed", 300), (False, "released", 0)]
)
async def test_expiry_books_what_may_be_spent_and_frees_what_is_not(
    stage: Stage, lease: Lease, sent: bool, state: str, posted: int
) -> None:
    hold = await stage.reserve(lease, 300, sent=sent)
    assert await end(stage, "expire", hold, secret="") == EndedHold(state, posted)
    assert await money(stage) == (posted, 0)
    assert (await ledger(stage))[-1]["op"] == state


async def test_a_hold_expires_only_when_due(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 300)
    await stage.expire_lease()
    async with unchanged(stage.store):
        assert await end(stage, "expire", hold, only_if_due=True) is None
    await stage.make_due(stage.ws.shard.timers, stage.session.timer("hold", hold.id))
    assert await end(stage, "expire", hold, only_if_due=True) is not None


async def test_a_hold_is_renewed_with_its_lease(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 300)
    timer = stage.session.timer("hold", hold.id)
    await stage.make_due(stage.ws.shard.timers, timer)
    assert await end(stage, "expire", hold, only_if_due=True) is None
    due = await stage.store.redis.call("ZSCORE", stage.ws.shard.timers, timer)
    assert int(float(due)) == int(await stage.field("lease_until_ms"))
    await stage.expire_lease()
    await stage.claim("o2")
    await stage.make_due(stage.ws.shard.timers, timer)
    ended = await end(stage, "expire", hold, only_if_due=True)
    assert ended is not None, "the lease is another's by now"


_ENDS: list[EndOp] = ["commit", "release", "expire"]


@pytest.mark.parametrize(
    ("first", "second"),
    # A commit after an expiry corrects what was booked.
    [(one, two) for one in _ENDS for two in _ENDS if (one, two) != ("expire", "commit")],
)
async def test_a_hold_ends_once(stage: Stage, lease: Lease, first: EndOp, second: EndOp) -> None:
    hold = await stage.reserve(lease, 300)
    ended = await end(stage, first, hold, actual=7)
    async with unchanged(stage.store):
        again = await end(stage, second, hold, actual=9)
    assert (ended, again) == (again, ended)


async def test_a_hold_is_ended_by_who_knows_its_secret_and_path(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 300)
    async with unchanged(stage.store):
        for change, code in (
            ({"secret": "guess"}, "hold_not_yours"),
            ({"names": "ws,user:u1"}, "path_mismatch"),
        ):
            with pytest.raises(BursarError) as caught:
                await end(stage, "commit", hold, actual=1, **change)  # type: ignore[arg-type]
            assert caught.value.code == code
        with pytest.raises(NotFound):
            await end_hold(
                stage.store, stage.session, op="release", hold_id="nobody", names="ws", turn="t"
            )


async def test_a_fenced_worker_may_still_book_what_it_knows(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 300)
    await stage.expire_lease()
    await stage.claim("o2")
    assert await end(stage, "commit", hold, actual=50) == EndedHold("committed", 50)


async def test_a_late_commit_does_not_bring_a_lost_turn_back(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 300)
    await end(stage, "commit", hold, actual=50)
    assert not await stage.store.redis.call("EXISTS", stage.ws.turn("trn1"))
    assert (await stage.stats())["cost_microusd"] == 50


async def test_spending_above_a_limit_is_recorded_as_overrun(stage: Stage, lease: Lease) -> None:
    hold = await stage.reserve(lease, 1_000_000)
    ended = await end(stage, "commit", hold, actual=1_000_250)
    assert ended == EndedHold("committed", 1_000_250, ("s:ses1",), overdrawn="s:ses1")
    assert (await account(stage, "s:ses1"))["overrun"] == "250"
    assert (await account(stage, "s:ses1"))["frozen"] == "1"
    assert (await account(stage, "ws"))["overrun"] == "0"


async def test_each_account_warns_once_for_its_threshold(stage: Stage, lease: Lease) -> None:
    await accounts.set_limit(stage.store, "acme", "ws", LimitWish(limit="2000"), change_id="c1")
    warned = []
    for i, actual in enumerate((1599, 1, 1, 100)):
        hold = await stage.reserve(lease, actual, hold_id=f"h/{i}")
        ended = await end(stage, "commit", hold, actual=actual)
        assert ended is not None
        warned.append(ended.warned)
    assert warned == [(), ("ws",), (), ()]
    await accounts.set_limit(
        stage.store, "acme", "ws", LimitWish(warn_percent="85"), change_id="c2"
    )
    hold = await stage.reserve(lease, 0, hold_id="h/9")
    ended = await end(stage, "commit", hold, actual=0)
    assert ended is not None
    assert ended.warned == ("ws",)
