"""Budgets that start anew each day or month, at midnight of a declared time zone."""

from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bursar.audit.entries import SYSTEM
from bursar.errors import InvalidInput, NotFound
from bursar.ids import new_id
from bursar.registry import redis_ms
from bursar.store.codec import text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.accounts import reset_account, set_period
from bursar.store.store import Store

__all__ = ["Period", "change_period", "next_reset_ms", "reset_due", "reset_now"]

Period = Literal["none", "day", "month"]


def next_reset_ms(period: str, time_zone: str, after_ms: int) -> int:
    """The first midnight after a moment at which a day or a month begins in the time zone."""
    zone = _zone(time_zone)
    day = datetime.fromtimestamp(after_ms / 1000, zone).replace(
        hour=0, minute=0, second=0, microsecond=0, fold=0
    )
    if period == "day":
        # Of the calendar, not 24 hours: days on which clocks change are longer or shorter.
        begins = day + timedelta(days=1)
    else:
        begins = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    due_ms = _ms(begins)
    # Where clocks go back over midnight a day begins twice, and we may be between the two.
    return due_ms if due_ms > after_ms else _ms(begins.replace(fold=1))


def _ms(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1000)


async def change_period(
    store: Store,
    workspace: str,
    account: str,
    period: str,
    *,
    time_zone: str = "UTC",
    resets_ms: int | None = None,
    change_id: str = "",
    actor: str = SYSTEM,
) -> None:
    """Let an account start anew each day or month, or never (``none``).

    Args:
        resets_ms: the first reset, Unix milliseconds; None is the next midnight that fits.

    Raises:
        InvalidInput: no such period or time zone, or the first reset is not in the future.
        NotFound: no such account.

    """
    if period not in get_args(Period):
        raise InvalidInput("expected none, day or month", field="period")
    _zone(time_zone)
    if period == "none":
        resets_ms = 0
    elif resets_ms is None:
        resets_ms = next_reset_ms(period, time_zone, await redis_ms(store))
    elif isinstance(resets_ms, bool) or not 0 < resets_ms < 10**14:
        raise InvalidInput("expected Unix milliseconds", field="resets_ms")
    await set_period(
        store,
        workspace,
        account,
        change_id=change_id or new_id("per"),
        period=period,
        time_zone=time_zone,
        resets_ms=resets_ms,
        actor=actor,
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(
            "expected the name of a time zone, such as Europe/Berlin", field="time_zone"
        ) from None


async def reset_now(
    store: Store, workspace: str, account: str, *, change_id: str = "", actor: str = SYSTEM
) -> bool:
    """Let what was spent count from zero again; True if turns wait for money of the account."""
    change_id = change_id or new_id("rst")
    return await reset_account(store, workspace, account, change_id=change_id, actor=actor)


async def reset_due(store: Store, ws: WorkspaceKeys, account: str, now_ms: int) -> bool:
    """Reset an account whose timer is due; True if turns wait for money of it."""
    fields = await store.redis.call(
        "HMGET", ws.account(account), "period", "time_zone", "resets_ms"
    )
    period, time_zone, due = map(text, fields)
    if period in {"", "none"}:
        await store.redis.call("ZREM", ws.shard.timers, ws.period_timer(account))
        return False
    # Resets that were missed while nobody swept are made up for by one.
    following = next_reset_ms(period, time_zone, max(now_ms, int(due)))
    try:
        return await reset_account(
            store, ws.id, account, change_id=f"due:{due}", due_ms=int(due), next_ms=following
        )
    except NotFound:
        return False
