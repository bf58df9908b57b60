"""Changing limits: every change is a ledger entry, and running calls may always finish."""

from typing import Any

import pytest

from bursar.errors import BudgetRefused, Conflict, InvalidInput, NotFound
from bursar.leases import Lease
from bursar.store.scripts import accounts
from bursar.store.scripts.accounts import LimitWish
from support.purse import BAD_AMOUNTS, account, end, ledger, money
from support.stage import Stage, unchanged


async def limit(stage: Stage, change_id: str = "c1", name: str = "s:ses1", **change: Any) -> None:
    await accounts.set_limit(stage.store, "acme", name, LimitWish(**change), change_id=change_id)


async def test_a_limit_change_is_a_ledger_entry_with_its_id(stage: Stage) -> None:
    await limit(stage, limit="2000000", per_action="5", warn_percent="50")
    entry = (await ledger(stage))[-1]
    assert [entry[name] for name in ("op", "id", "account", "from", "to")] == [
        "limit", "c1", "s:ses1", "1000000", "2000000",
    ]  # fmt: skip
    fields = await account(stage, "s:ses1")
    assert (fields["limit"], fields["per_action"], fields["warn_percent"]) == ("2000000", "5", "50")


async def test_a_repeated_limit_change_counts_once(stage: Stage) -> None:
    await limit(stage, limit="2000000")
    async with unchanged(stage.store):
        await limit(stage, limit="2000000")
        with pytest.raises(Conflict) as caught:
            await limit(stage, limit="3000000")
    assert caught.value.code == "id_conflict"


@pytest.mark.parametrize("bad", [amount for amount in BAD_AMOUNTS if amount])
@pytest.mark.parametrize("which", ["limit", "per_action", "warn_percent"])
async def test_what_is_no_amount_is_no_limit(stage: Stage, which: str, bad: str) -> None:
    async with unchanged(stage.store):
        with pytest.raises(InvalidInput) as caught:
            await limit(stage, **{which: bad})
    assert caught.value.code == "bad_amount"


async def test_a_lower_limit_takes_the_limit_of_an_action_down_with_it(stage: Stage) -> None:
    await limit(stage, limit="1000000", per_action="500")
    await limit(stage, limit="100", change_id="c2")
    fields = await account(stage, "s:ses1")
    assert (fields["limit"], fields["per_action"]) == ("100", "100")


async def test_limits_need_an_account_and_fit_each_other(stage: Stage) -> None:
    async with unchanged(stage.store):
        with pytest.raises(NotFound):
            await limit(stage, name="s:nobody", limit="5")
        with pytest.raises(InvalidInput) as caught:
            await limit(stage, per_action="1000001")
        assert caught.value.field == "per_action_microusd"


async def test_a_limit_below_what_is_used_lets_running_calls_finish(
    stage: Stage, lease: Lease
) -> None:
    hold = await stage.reserve(lease, 500_000)
    await limit(stage, limit="100", per_action="100")
    fields = await account(stage, "s:ses1")
    assert (fields["limit"], fields["floor"]) == ("100", "500000")
    with pytest.raises(BudgetRefused):
        await stage.reserve(lease, 1, hold_id="h/2")
    await end(stage, "commit", hold, actual=500_000)
    assert (await account(stage, "s:ses1"))["overrun"] == "0"
    await limit(stage, "c2", limit="600000")
    assert (await account(stage, "s:ses1"))["floor"] == "0"
    await stage.reserve(lease, 100, hold_id="h/3")


async def test_unlimited_never_refuses_but_counts(stage: Stage, lease: Lease) -> None:
    assert (await account(stage, "ws"))["limit"] == "unlimited"
    await stage.reserve(lease, 1_000_000)
    assert await money(stage, "ws") == (0, 1_000_000)
