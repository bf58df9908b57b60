"""Periods: midnights of calendars that people live by, and resets that were missed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.budgets.accounts import read_accounts
from bursar.budgets.audit import audit_budgets
from bursar.budgets.ledger import read_ledger
from bursar.budgets.periods import change_period, next_reset_ms, reset_due, reset_now
from bursar.errors import Conflict, InvalidInput, NotFound
from bursar.registry import redis_ms
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store
from support.stage import Stage, unchanged

DAY_MS = 86_400_000


def ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def iso(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat(timespec="minutes")[:16] + "Z"


@pytest.mark.parametrize(
    ("zone", "period", "after", "due"),
    [
        ("UTC", "day", "2026-05-04T00:00Z", "2026-05-05T00:00Z"),
        ("UTC", "day", "2026-05-03T23:59Z", "2026-05-04T00:00Z"),
        # Spring in Berlin: 29 March has 23 hours. Autumn: 25 October has 25.
        ("Europe/Berlin", "day", "2026-03-28T12:00Z", "2026-03-28T23:00Z"),
        ("Europe/Berlin", "day", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("Europe/Berlin", "day", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
        # In São Paulo clocks went forward at midnight, so 4 November began at 01:00 ...
        ("America/Sao_Paulo", "day", "2018-11-03T12:00Z", "2018-11-04T03:00Z"),
        ("America/Sao_Paulo", "day", "2018-11-04T03:00Z", "2018-11-05T02:00Z"),
        # ... and back at midnight: the last hour of 16 February came twice.
        ("America/Sao_Paulo", "day", "2019-02-16T02:00Z", "2019-02-17T03:00Z"),
        ("America/Sao_Paulo", "day", "2019-02-17T02:30Z", "2019-02-17T03:00Z"),
        # Midnight comes twice in Havana; a day begins with the first.
        ("America/Havana", "day", "2026-11-01T03:59Z", "2026-11-01T04:00Z"),
        ("America/Havana", "day", "2026-11-01T05:15Z", "2026-11-02T05:00Z"),
        # In Newfoundland clocks went back at 00:01, into the day before.
        ("America/St_Johns", "day", "2010-11-07T02:30Z", "2010-11-08T03:30Z"),
        ("America/St_Johns", "day", "2010-11-07T03:00Z", "2010-11-07T03:30Z"),
        # Half hours, of the zone and of the change.
        ("Asia/Kolkata", "day", "2026-01-15T00:00Z", "2026-01-15T18:30Z"),
        ("Australia/Lord_Howe", "day", "2026-04-04T13:00Z", "2026-04-05T13:30Z"),
        ("Asia/Kathmandu", "month", "2026-01-31T18:14Z", "2026-01-31T18:15Z"),
        # Samoa had no 30 December in 2011.
        ("Pacific/Apia", "day", "2011-12-29T22:00Z", "2011-12-30T10:00Z"),
        ("Pacific/Apia", "day", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
        # Ends of months.
        ("UTC", "month", "2026-01-31T00:00Z", "2026-02-01T00:00Z"),
        ("UTC", "month", "2028-02-29T12:00Z", "2028-03-01T00:00Z"),
        ("UTC", "month", "2026-02-28T23:59Z", "2026-03-01T00:00Z"),
        ("UTC", "month", "2026-12-31T23:59Z", "2027-01-01T00:00Z"),
        ("UTC", "month", "2026-03-01T00:00Z", "2026-04-01T00:00Z"),
        ("Europe/Berlin", "month", "2026-03-05T00:00Z", "2026-03-31T22:00Z"),
        ("Europe/Berlin", "month", "2026-10-05T00:00Z", "2026-10-31T23:00Z"),
    ],
)
def test_the_next_reset_is_the_next_beginning_of_the_calendar(
    zone: str, period: str, after: str, due: str
) -> None:
    assert iso(next_reset_ms(period, zone, ms(after))) == due


@settings(max_examples=400, deadline=None)
@given(
    zone=st.sampled_from(
        [
            *("Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe"),
            *("America/Havana", "America/St_Johns", "Asia/Beirut", "America/Nuuk", "Africa/Cairo"),
            *("Pacific/Apia", "Asia/Amman", "America/Asuncion", "Asia/Tehran", "UTC"),
        ]
    ),
    period=st.sampled_from(["day", "month"]),
    after_ms=st.integers(ms("2000-01-01T00:00Z"), ms("2037-12-01T00:00Z")),
)
def test_it_is_the_first_moment_of_a_later_day_and_none_is_left_out(
    zone: str, period: str, after_ms: int
) -> None:
    due_ms = next_reset_ms(period, zone, after_ms)
    before, last, first = (
        datetime.fromtimestamp(moment / 1000, ZoneInfo(zone)).date()
        for moment in (after_ms, due_ms - 1, due_ms)
    )
    assert due_ms > after_ms
    assert last < first or due_ms - after_ms < DAY_MS // 8, "it is in the middle of a day"
    assert due_ms - after_ms <= (2 if period == "day" else 32) * DAY_MS
    if period == "day" and zone != "Pacific/Apia":
        assert first <= before + timedelta(days=1)
    if period == "month":
        assert first.day == 1


@pytest.fixture
async def stage(store: Store) -> Stage:
    """500 were spent and 70 are held."""
    stage = await Stage.build(store)
    lease, turn = await stage.running()
    hold = await stage.reserve(lease, 600)
    await stage.commit(lease, turn, Commit(hold=hold, actual_microusd=500, actual_tokens=3))
    await stage.reserve(lease, 70, hold_id="h/2")
    return stage


async def figures(stage: Stage, account: str = "ws") -> tuple[int, int, int, int | None]:
    (view,) = await read_accounts(stage.store, "acme", [account])
    return view.posted_microusd, view.pending_microusd, view.tokens_posted, view.resets_ms


async def test_a_period_begins_at_the_next_midnight_of_its_zone(stage: Stage) -> None:
    await change_period(stage.store, "acme", "ws", "day", time_zone="Europe/Berlin")
    (view,) = await read_accounts(stage.store, "acme", ["ws"])
    expected = next_reset_ms("day", "Europe/Berlin", await redis_ms(stage.store))
    assert (view.period, view.time_zone, view.resets_ms) == ("day", "Europe/Berlin", expected)
    (entry, *_) = await read_ledger(stage.store, "acme")
    assert [entry[name] for name in ("op", "account", "from", "to", "time_zone", "resets_ms")] == [
        "period", "ws", "none", "day", "Europe/Berlin", str(expected),
    ]  # fmt: skip


async def test_a_period_is_ended_with_its_timer(stage: Stage) -> None:
    await change_period(stage.store, "acme", "ws", "month")
    timer = stage.ws.period_timer("ws")
    assert await stage.store.redis.call("ZSCORE", stage.ws.shard.timers, timer) is not None
    await change_period(stage.store, "acme", "ws", "none")
    assert await stage.store.redis.call("ZSCORE", stage.ws.shard.timers, timer) is None
    assert (await figures(stage))[3] is None


BAD = [
    ({"period": "week"}, "period"),
    ({"period": "day", "time_zone": "Europe/Atlantis"}, "time_zone"),
    ({"period": "day", "time_zone": "Europe"}, "time_zone"),
    ({"period": "day", "time_zone": "../../etc/localtime"}, "time_zone"),
    ({"period": "day", "time_zone": "a\0b"}, "time_zone"),
    ({"period": "day", "time_zone": ""}, "time_zone"),
    ({"period": "none", "time_zone": "Mars"}, "time_zone"),
    ({"period": "day", "resets_ms": 1}, "resets_ms"),
    ({"period": "day", "resets_ms": 0}, "resets_ms"),
    ({"period": "day", "resets_ms": -5}, "resets_ms"),
    ({"period": "month", "resets_ms": 10**14}, "resets_ms"),
    ({"period": "month", "resets_ms": True}, "resets_ms"),
]


@pytest.mark.parametrize(("change", "field"), BAD)
async def test_a_bad_period_is_named_and_changes_nothing(
    stage: Stage, change: dict[str, object], field: str
) -> None:
    async with unchanged(stage.store):
        with pytest.raises(InvalidInput) as caught:
            await change_period(stage.store, "acme", "ws", **change)  # type: ignore[arg-type]
    assert caught.value.field == field


async def test_a_period_needs_an_account_and_is_changed_once(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await change_period(stage.store, "acme", "user:nobody", "day")
    first = await redis_ms(stage.store) + 60_000
    await change_period(stage.store, "acme", "ws", "day", resets_ms=first, change_id="p1")
    async with unchanged(stage.store):
        await change_period(stage.store, "acme", "ws", "day", resets_ms=first, change_id="p1")
        with pytest.raises(Conflict):
            await change_period(stage.store, "acme", "ws", "month", resets_ms=first, change_id="p1")


async def _make_due(stage: Stage, due_ms: int) -> None:
    await stage.store.redis.call("HSET", stage.ws.account("ws"), "resets_ms", due_ms)
    await stage.store.redis.call("ZADD", stage.ws.shard.timers, due_ms, stage.ws.period_timer("ws"))


@pytest.mark.parametrize("period", ["day", "month"])
async def test_resets_that_were_missed_are_made_up_for_by_one(stage: Stage, period: str) -> None:
    await change_period(stage.store, "acme", "ws", period, time_zone="America/Sao_Paulo")
    now = await redis_ms(stage.store)
    due = next_reset_ms(period, "America/Sao_Paulo", now - 100 * DAY_MS)
    await _make_due(stage, due)
    await reset_due(stage.store, stage.ws, "ws", now)
    following = next_reset_ms(period, "America/Sao_Paulo", now)
    assert await figures(stage) == (0, 70, 0, following)
    async with unchanged(stage.store):
        await reset_due(stage.store, stage.ws, "ws", now)
    resets = [entry for entry in await read_ledger(stage.store, "acme") if entry["op"] == "reset"]
    assert [(one["account"], one["posted"], one["tokens"]) for one in resets] == [
        ("ws", "500", "3")
    ]
    assert (await figures(stage, "user:u1"))[0] == 500, "only the account that has the period"
    assert (await audit_budgets(stage.store, "acme")).ok


async def test_a_zone_that_is_not_there_any_more_is_an_error_of_ours(stage: Stage) -> None:
    """The sweeper goes on to the next timer after one of those."""
    await change_period(stage.store, "acme", "ws", "day")
    await stage.store.redis.call("HSET", stage.ws.account("ws"), "time_zone", "Europe/Atlantis")
    await _make_due(stage, 1000)
    with pytest.raises(InvalidInput):
        await reset_due(stage.store, stage.ws, "ws", await redis_ms(stage.store))


async def test_a_reset_by_hand_counts_once_and_keeps_what_is_held(stage: Stage) -> None:
    await reset_now(stage.store, "acme", "s:ses1", change_id="r1")
    assert (await figures(stage, "s:ses1"))[:3] == (0, 70, 0)
    async with unchanged(stage.store):
        await reset_now(stage.store, "acme", "s:ses1", change_id="r1")
    with pytest.raises(NotFound):
        await reset_now(stage.store, "acme", "user:nobody")
