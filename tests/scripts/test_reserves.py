"""What else bounds a hold: tokens, what a turn may cost, what is kept back, what is frozen."""

import pytest

from bursar.errors import BudgetRefused, Conflict
from bursar.leases import Lease
from bursar.store.scripts import accounts
from bursar.store.scripts.accounts import LimitWish
from bursar.store.scripts.budgets import HoldRef, HoldWish, Path, end_hold, reserve
from support.purse import account, end, money
from support.stage import Stage, unchanged


async def limit(stage: Stage, wish: LimitWish, name: str = "s:ses1", change: str = "c1") -> None:
    await accounts.set_limit(stage.store, "acme", name, wish, change_id=change)


async def hold(
    stage: Stage,
    lease: Lease,
    cost: int,
    *,
    tokens: int = 1,
    number: int = 1,
    kind: str = "model:m",
    path: Path | None = None,
) -> HoldRef:
    wish = HoldWish(
        hold_id=f"h/{number}",
        secret="s3cret",
        cost_microusd=cost,
        tokens=tokens,
        sent=True,
        ttl_ms=60_000,
        turn=await stage.field("turn"),
        step=1,
        kind=kind,
        price="flat",
    )
    return await reserve(stage.store, lease, path or stage.path, wish)


async def refused(stage: Stage, lease: Lease, cost: int, **more: object) -> dict[str, object]:
    async with unchanged(stage.store):
        with pytest.raises(BudgetRefused) as caught:
            await hold(stage, lease, cost, number=99, **more)  # type: ignore[arg-type]
    return caught.value.details


async def test_tokens_are_held_and_booked_beside_money(stage: Stage, lease: Lease) -> None:
    made = await hold(stage, lease, 10, tokens=700)
    assert (await account(stage, "ws"))["tokens_pending"] == "700"
    await end(stage, "commit", made, actual=5)
    fields = await account(stage, "ws")
    assert (fields["tokens_pending"], fields["tokens_posted"]) == ("0", "0")


async def test_a_limit_of_tokens_refuses_by_name_and_unit(stage: Stage, lease: Lease) -> None:
    await limit(stage, LimitWish(token_limit="1000"), "user:u1")
    await hold(stage, lease, 10, tokens=600)
    details = await refused(stage, lease, 10, tokens=401)
    assert (details["account"], details["kind"], details["unit"]) == (
        "user:u1", "contended", "tokens",
    )  # fmt: skip
    assert (details["available_tokens"], details["limit_tokens"]) == (400, 1000)
    assert (await refused(stage, lease, 10, tokens=1001))["kind"] == "exhausted"
    await hold(stage, lease, 10, tokens=400, number=2)


async def test_a_turn_may_cost_so_much_and_no_more(stage: Stage, lease: Lease) -> None:
    await limit(stage, LimitWish(per_turn="100"))
    first = await hold(stage, lease, 60)
    details = await refused(stage, lease, 41)
    assert (details["kind"], details["available_microusd"]) == ("per_turn", 40)
    await end_of_turn(stage, first, 10)
    second = await hold(stage, lease, 90, number=2)
    details = await refused(stage, lease, 1)
    assert (details["posted_microusd"], details["pending_microusd"]) == (10, 90)
    await end(stage, "release", second)


async def end_of_turn(stage: Stage, made: HoldRef, actual: int) -> None:
    """End a hold that counts against its turn."""
    await end_hold(
        stage.store, stage.session, op="commit", hold_id=made.id, names=made.names,
        turn=await stage.field("turn"), secret=made.secret, actual_microusd=actual,
    )  # fmt: skip
    turn = await stage.hash(stage.ws.turn(await stage.field("turn")))
    assert (turn["held_microusd"], turn["cost_microusd"]) == ("0", str(actual))


async def test_what_is_kept_back_is_for_one_closing_hold_a_turn(stage: Stage, lease: Lease) -> None:
    await stage.store.redis.call("HSET", stage.ws.account("s:ses1"), "kept", 50_000)
    details = await refused(stage, lease, 950_001)
    assert (details["kind"], details["available_microusd"]) == ("exhausted", 950_000)
    first = await hold(stage, lease, 950_000)
    await end(stage, "commit", first, actual=950_000)
    closing = await hold(stage, lease, 50_000, number=2, kind="closing:m")
    await end(stage, "commit", closing, actual=10)
    async with unchanged(stage.store):
        with pytest.raises(Conflict) as caught:
            await hold(stage, lease, 1, number=3, kind="closing:m")
    assert caught.value.code == "closing_used"


async def test_a_closing_hold_bypasses_nothing_else(stage: Stage, lease: Lease) -> None:
    await stage.store.redis.call("HSET", stage.ws.account("s:ses1"), "kept", 50_000)
    await limit(stage, LimitWish(limit="100"), "ws")
    assert (await refused(stage, lease, 101, kind="closing:m"))["account"] == "ws"
    await limit(stage, LimitWish(per_action="90"), change="c2")
    assert (await refused(stage, lease, 91, kind="closing:m"))["kind"] == "per_action"


async def test_only_the_root_and_the_own_session_keep_something_back(
    stage: Stage, lease: Lease
) -> None:
    middle, child = stage.other("middle"), stage.other("child")
    await middle.open(parent="ses1")
    await child.open(parent="middle")
    lease, _ = await child.running("o2")
    path = Path.of(child.session, user="u1", ancestors=("ses1", "middle"))
    refusing = []
    for number, name in enumerate(("s:ses1", "s:middle", "s:child")):
        await stage.store.redis.call("HSET", stage.ws.account(name), "kept", 50_000)
        try:
            made = await hold(child, lease, 1_000_000, number=number, path=path)
            await end(child, "release", made)
        except BudgetRefused as refusal:
            refusing.append(refusal.details["account"])
        await stage.store.redis.call("HSET", stage.ws.account(name), "kept", 0)
    assert refusing == ["s:ses1", "s:child"]


async def test_a_frozen_account_refuses_until_it_is_acknowledged(
    stage: Stage, lease: Lease
) -> None:
    made = await hold(stage, lease, 900_000)
    await end(stage, "commit", made, actual=1_000_001)
    details = await refused(stage, lease, 0)
    assert (details["account"], details["kind"]) == ("s:ses1", "frozen")
    await limit(stage, LimitWish(limit="5000000"))
    assert (await refused(stage, lease, 0))["kind"] == "frozen"
    await limit(stage, LimitWish(acknowledge=True), change="c2")
    await hold(stage, lease, 5, number=2)
    assert await money(stage) == (1_000_001, 5)


async def test_the_lowest_account_that_is_overdrawn_is_frozen(stage: Stage, lease: Lease) -> None:
    await limit(stage, LimitWish(limit="500"), "ws")
    await limit(stage, LimitWish(limit="500"), "user:u1", "c2")
    made = await hold(stage, lease, 400)
    await end(stage, "commit", made, actual=600)
    frozen = [(await account(stage, name))["frozen"] for name in ("ws", "user:u1", "s:ses1")]
    assert frozen == ["0", "1", "0"]


async def test_a_hold_says_when_an_account_is_over_its_warn_level(
    stage: Stage, lease: Lease
) -> None:
    first = await hold(stage, lease, 800_000)
    assert not first.warned
    await end(stage, "commit", first, actual=800_000)
    assert (await hold(stage, lease, 5, number=2)).warned


async def test_an_action_that_only_the_limit_bounds_grows_with_it(
    stage: Stage, lease: Lease
) -> None:
    """Else more money would not help a call that did not fit."""
    assert (await refused(stage, lease, 1_000_001))["kind"] == "exhausted"
    await limit(stage, LimitWish(limit="2000000"))
    await hold(stage, lease, 1_000_001)


async def test_tokens_above_their_limit_freeze_the_account_too(stage: Stage, lease: Lease) -> None:
    await limit(stage, LimitWish(token_limit="1000"))
    made = await hold(stage, lease, 10, tokens=900)
    turn = await stage.field("turn")
    ended = await end_hold(
        stage.store, stage.session, op="commit", hold_id=made.id, names=made.names, turn=turn,
        secret=made.secret, actual_microusd=10, tokens=1001,
    )  # fmt: skip
    assert ended is not None
    assert ended.overdrawn == "s:ses1"
    assert (await refused(stage, lease, 0))["kind"] == "frozen"


async def test_an_id_with_other_tokens_is_a_conflict(stage: Stage, lease: Lease) -> None:
    await hold(stage, lease, 10, tokens=900)
    async with unchanged(stage.store):
        with pytest.raises(Conflict) as caught:
            await hold(stage, lease, 10, tokens=901)
    assert caught.value.code == "id_conflict"


async def test_a_closing_hold_that_was_given_back_may_be_made_again(
    stage: Stage, lease: Lease
) -> None:
    first = await hold(stage, lease, 10, kind="closing:m")
    turn = await stage.field("turn")
    await end_hold(
        stage.store, stage.session, op="release", hold_id=first.id, names=first.names, turn=turn,
        secret=first.secret,
    )  # fmt: skip
    await hold(stage, lease, 10, number=2, kind="closing:m")
