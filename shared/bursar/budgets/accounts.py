"""Accounts as people and programs read them, and how their limits are changed.

Reading never waits for a running turn: it is one HMGET an account.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.errors import InvalidInput, NotFound
from bursar.ids import new_id
from bursar.money import MAX_LIMIT_MICROUSD, usd
from bursar.store.codec import text
from bursar.store.scripts.budgets import set_limit
from bursar.store.store import Store

__all__ = ["AccountView", "change_limit", "check_limit", "read_accounts", "read_ledger", "usd"]

_FIELDS = ("limit", "posted", "pending", "overrun", "floor", "warn_percent", "per_action")


class AccountView(msgspec.Struct, frozen=True):
    """A budget. ``limit_microusd`` and ``available_microusd`` are None when it is unlimited."""

    account: str
    limit_microusd: int | None
    posted_microusd: int
    pending_microusd: int
    available_microusd: int | None
    overrun_microusd: int
    warn_percent: int
    per_action_microusd: int | None = None


async def read_accounts(store: Store, workspace: str, names: Sequence[str]) -> list[AccountView]:
    """Raises `NotFound` if one of the accounts does not exist."""
    ws = store.workspace(workspace)
    replies = [store.redis.call("HMGET", ws.account(name), *_FIELDS) for name in names]
    return [_view(name, await reply) for name, reply in zip(names, replies, strict=True)]


def _view(name: str, values: Sequence[Any]) -> AccountView:
    if values[0] is None:
        raise NotFound(f"no account {name!r} in this workspace", code="account_not_found")
    limit_text, per_action = text(values[0]), text(values[6])
    posted, pending, overrun, _floor, warn = (int(value or 0) for value in values[1:6])
    limit = None if limit_text == "unlimited" else int(limit_text)
    return AccountView(
        account=name,
        limit_microusd=limit,
        posted_microusd=posted,
        pending_microusd=pending,
        available_microusd=None if limit is None else max(0, limit - posted - pending),
        overrun_microusd=overrun,
        warn_percent=warn,
        per_action_microusd=int(per_action) if per_action else None,
    )


def check_limit(amount: int, field: str) -> int:
    """A limit is finite, above zero and at most $10,000,000."""
    if isinstance(amount, bool) or not 0 < amount <= MAX_LIMIT_MICROUSD:
        raise InvalidInput(
            f"expected an integer from 1 to {MAX_LIMIT_MICROUSD} micro-USD", field=field
        )
    return amount


async def change_limit(
    store: Store,
    workspace: str,
    account: str,
    *,
    limit_microusd: int | None = None,
    unlimited: bool = False,
    per_action_microusd: int | None = None,
    warn_percent: int | None = None,
    change_id: str = "",
) -> AccountView:
    """Change what is given and leave the rest; every change is a ledger entry with an id.

    Args:
        unlimited: lift the limit; only for the workspace and for users, never for a session.

    """
    if unlimited and account.startswith("s:"):
        raise InvalidInput("a session's limit is always finite", field="limit_microusd")
    if per_action_microusd is not None and not account.startswith("s:"):
        raise InvalidInput("only sessions have a limit per action", field="per_action_microusd")
    if warn_percent is not None and not 0 <= warn_percent <= 100:
        raise InvalidInput("expected an integer from 0 to 100", field="warn_percent")
    limit = "unlimited" if unlimited else ""
    if limit_microusd is not None:
        limit = str(check_limit(limit_microusd, "limit_microusd"))
    per_action = ""
    if per_action_microusd is not None:
        per_action = str(check_limit(per_action_microusd, "per_action_microusd"))
    await set_limit(
        store,
        workspace,
        account,
        change_id=change_id or new_id("lim"),
        limit=limit,
        per_action=per_action,
        warn_percent="" if warn_percent is None else str(warn_percent),
    )
    return (await read_accounts(store, workspace, [account]))[0]


async def read_ledger(store: Store, workspace: str, *, limit: int = 100) -> list[dict[str, str]]:
    """The newest ledger entries, newest first; each has its stream id as ``entry``."""
    ws = store.workspace(workspace)
    entries = await store.redis.call("XREVRANGE", ws.ledger, "+", "-", "COUNT", limit)
    return [
        {"entry": text(entry_id)} | {text(field): text(value) for field, value in fields.items()}
        for entry_id, fields in entries
    ]
