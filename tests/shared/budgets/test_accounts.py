"""Accounts as people read and change them."""

import pytest

from bursar.budgets.accounts import LimitChange, change_limit, check_limit, read_accounts, usd
from bursar.budgets.ledger import read_ledger
from bursar.errors import Conflict, InvalidInput, NotFound
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store
from support.stage import Stage, unchanged


@pytest.fixture
async def stage(store: Store) -> Stage:
    return await Stage.build(store)


@pytest.mark.parametrize(
    ("microusd", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (10_000, "$0.01"),
        (12_300, "$0.0123"),
        (1_000_000, "$1.00"),
        (1_230_000, "$1.23"),
        (1_234_567, "$1.234567"),
        (10_000_000_000_000, "$10000000.00"),
    ],
)
def test_an_amount_is_shown_with_the_digits_it_has(microusd: int, shown: str) -> None:
    assert usd(microusd) == shown


async def test_what_is_left_is_what_is_neither_spent_nor_held(stage: Stage) -> None:
    lease, turn = await stage.running()
    hold = await stage.reserve(lease, 600_000)
    await stage.commit(lease, turn, Commit(hold=hold, actual_microusd=500_000))
    await stage.reserve(lease, 100_000, hold_id="h/2")
    own, ws = await read_accounts(stage.store, "acme", ["s:ses1", "ws"])
    assert (own.limit_microusd, own.posted_microusd, own.pending_microusd) == (
        1_000_000, 500_000, 100_000,
    )  # fmt: skip
    assert (own.available_microusd, own.per_action_microusd) == (400_000, 1_000_000)
    assert (ws.limit_microusd, ws.available_microusd, ws.per_action_microusd) == (None, None, None)


async def test_an_unknown_account_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFound) as caught:
        await read_accounts(stage.store, "acme", ["ws", "user:nobody"])
    assert caught.value.code == "account_not_found"
    with pytest.raises(NotFound):
        await change_limit(stage.store, "acme", "user:nobody", LimitChange(limit_microusd=5))


@pytest.mark.parametrize("amount", [0, -1, 10_000_000_000_001, True, float("nan"), float("inf")])
def test_a_limit_is_finite_and_positive(amount: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_limit(amount, "limit_microusd")
    assert caught.value.field == "limit_microusd"


async def test_a_change_is_in_the_ledger_and_the_newest_comes_first(stage: Stage) -> None:
    changed = await change_limit(
        stage.store, "acme", "ws", LimitChange(limit_microusd=500), change_id="c1"
    )
    assert changed.limit_microusd == 500
    lifted = await change_limit(
        stage.store, "acme", "ws", LimitChange(limit_microusd=None), change_id="c2"
    )
    assert lifted.limit_microusd is None
    entries = await read_ledger(stage.store, "acme")
    assert [(entry["id"], entry["from"], entry["to"]) for entry in entries] == [
        ("c2", "500", "unlimited"), ("c1", "unlimited", "500"),
    ]  # fmt: skip
    assert len(await read_ledger(stage.store, "acme", limit=1)) == 1


async def test_a_repeated_change_counts_once(stage: Stage) -> None:
    await change_limit(stage.store, "acme", "ws", LimitChange(limit_microusd=500), change_id="c1")
    async with unchanged(stage.store):
        await change_limit(
            stage.store, "acme", "ws", LimitChange(limit_microusd=500), change_id="c1"
        )
        with pytest.raises(Conflict):
            await change_limit(
                stage.store, "acme", "ws", LimitChange(limit_microusd=600), change_id="c1"
            )


async def test_changes_without_an_id_get_one_each(stage: Stage) -> None:
    for limit in (500, 600, 500):
        await change_limit(stage.store, "acme", "ws", LimitChange(limit_microusd=limit))
    assert len({entry["id"] for entry in await read_ledger(stage.store, "acme")}) == 3


@pytest.mark.parametrize(
    ("field", "account", "change"),
    [
        ("limit_microusd", "s:ses1", {"limit_microusd": None}),
        ("limit_microusd", "ws", {"limit_microusd": 0}),
        ("limit_microusd", "ws", {"limit_microusd": 10_000_000_000_001}),
        ("token_limit", "ws", {"token_limit": 0}),
        ("token_limit", "s:ses1", {"token_limit": 10**14 + 1}),
        ("per_action_microusd", "ws", {"per_action_microusd": 5}),
        ("per_action_microusd", "s:ses1", {"per_action_microusd": 1_000_001}),
        ("per_turn_microusd", "user:u1", {"per_turn_microusd": 5}),
        ("per_turn_microusd", "ws", {"per_turn_microusd": None}),
        ("per_turn_microusd", "s:ses1", {"per_turn_microusd": 0}),
        ("warn_percent", "ws", {"warn_percent": 101}),
        ("body", "ws", {}),
    ],
)
async def test_a_bad_change_is_named_and_changes_nothing(
    stage: Stage, field: str, account: str, change: dict[str, int | None]
) -> None:
    async with unchanged(stage.store):
        with pytest.raises(InvalidInput) as caught:
            await change_limit(stage.store, "acme", account, LimitChange(**change))  # type: ignore[arg-type]
    assert caught.value.field == field


async def test_limits_of_tokens_and_of_a_turn_are_set_and_lifted(stage: Stage) -> None:
    given = LimitChange(token_limit=500, per_turn_microusd=70)
    view = await change_limit(stage.store, "acme", "s:ses1", given)
    assert (view.token_limit, view.per_turn_microusd, view.limit_microusd) == (500, 70, 1_000_000)
    lifted = LimitChange(token_limit=None, per_turn_microusd=None)
    view = await change_limit(stage.store, "acme", "s:ses1", lifted)
    assert (view.token_limit, view.per_turn_microusd) == (None, None)
    newest, older = await read_ledger(stage.store, "acme")
    assert [(one["tokens_from"], one["tokens_to"]) for one in (older, newest)] == [
        ("unlimited", "500"), ("500", "unlimited"),
    ]  # fmt: skip


async def test_an_account_that_was_overdrawn_is_frozen_until_that_is_acknowledged(
    stage: Stage,
) -> None:
    lease, turn = await stage.running()
    hold = await stage.reserve(lease, 1_000_000)
    await stage.commit(lease, turn, Commit(hold=hold, actual_microusd=1_000_250))
    (view,) = await read_accounts(stage.store, "acme", ["s:ses1"])
    assert (view.frozen, view.overrun_microusd, view.available_microusd) == (True, 250, 0)
    view = await change_limit(stage.store, "acme", "s:ses1", LimitChange(acknowledge=True))
    assert (view.frozen, view.overrun_microusd) == (False, 250)
    assert (await read_ledger(stage.store, "acme"))[0]["op"] == "acknowledge"


async def test_what_is_kept_for_a_closing_answer_is_not_available(stage: Stage) -> None:
    await stage.store.redis.call("HSET", stage.ws.account("s:ses1"), "kept", 50_000)
    (view,) = await read_accounts(stage.store, "acme", ["s:ses1"])
    assert (view.kept_microusd, view.available_microusd) == (50_000, 950_000)
