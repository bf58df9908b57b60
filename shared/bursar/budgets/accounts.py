"""Accounts as people and programs read them, and how their limits are changed.

Reading never waits for a running turn: it is one HMGET an account.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.audit.entries import SYSTEM
from bursar.errors import InvalidInput, NotFound
from bursar.ids import new_id
from bursar.money import MAX_LIMIT_MICROUSD, usd
from bursar.store.codec import text, unlimited_or
from bursar.store.scripts.accounts import LimitWish, set_limit
from bursar.store.store import Store

__all__ = [
    "AccountView",
    "LimitChange",
    "change_limit",
    "check_limit",
    "check_tokens",
    "check_warn_percent",
    "read_accounts",
    "usd",
]

_MAX_TOKENS = 10**14
_FIELDS = (
    "limit", "posted", "pending", "overrun", "warn_percent", "per_action", "kept", "frozen",
    "token_limit", "tokens_posted", "tokens_pending", "per_turn", "waiting", "asked_ms", "period",
    "time_zone", "resets_ms",
)  # fmt: skip


class AccountView(msgspec.Struct, frozen=True):
    """A budget. Limits are None where there is none, and so is what is available then.

    ``available_microusd`` leaves out what is kept back for a closing answer. ``frozen``: it was
    overdrawn, and pays nothing until somebody acknowledges that. ``waiting`` turns wait for money
    of it, and since ``asked_ms`` people are asked for more. At ``resets_ms``, if it has a period,
    what was spent counts from zero again.
    """

    account: str
    limit_microusd: int | None
    posted_microusd: int
    pending_microusd: int
    available_microusd: int | None
    overrun_microusd: int
    warn_percent: int
    per_action_microusd: int | None = None
    per_turn_microusd: int | None = None
    kept_microusd: int = 0
    frozen: bool = False
    token_limit: int | None = None
    tokens_posted: int = 0
    tokens_pending: int = 0
    waiting: int = 0
    asked_ms: int | None = None
    period: str = "none"
    time_zone: str = ""
    resets_ms: int | None = None


async def read_accounts(store: Store, workspace: str, names: Sequence[str]) -> list[AccountView]:
    """Raises `NotFound` if one of the accounts does not exist."""
    ws = store.workspace(workspace)
    replies = [store.redis.call("HMGET", ws.account(name), *_FIELDS) for name in names]
    return [_view(name, await reply) for name, reply in zip(names, replies, strict=True)]


def _view(name: str, values: Sequence[Any]) -> AccountView:
    if values[0] is None:
        raise NotFound(f"no account {name!r} in this workspace", code="account_not_found")
    found = dict(zip(_FIELDS, map(text, values), strict=True))
    limit = _number(found["limit"])
    posted, pending, kept = (int(found[field] or 0) for field in ("posted", "pending", "kept"))
    return AccountView(
        account=name,
        limit_microusd=limit,
        posted_microusd=posted,
        pending_microusd=pending,
        available_microusd=None if limit is None else max(0, limit - kept - posted - pending),
        overrun_microusd=int(found["overrun"] or 0),
        warn_percent=int(found["warn_percent"] or 0),
        per_action_microusd=_number(found["per_action"]),
        per_turn_microusd=_number(found["per_turn"]),
        kept_microusd=kept,
        frozen=found["frozen"] == "1",
        token_limit=_number(found["token_limit"]),
        tokens_posted=int(found["tokens_posted"] or 0),
        tokens_pending=int(found["tokens_pending"] or 0),
        waiting=int(found["waiting"] or 0),
        asked_ms=_number(found["asked_ms"]),
        period=found["period"] or "none",
        time_zone=found["time_zone"],
        resets_ms=_number(found["resets_ms"]) or None,
    )


def _number(value: str) -> int | None:
    """None for what is unlimited or not set."""
    return None if value in {"", "unlimited"} else int(value)


def check_limit(amount: int, field: str) -> int:
    """A limit is finite, above zero and at most $10,000,000."""
    if isinstance(amount, bool) or not 0 < amount <= MAX_LIMIT_MICROUSD:
        raise InvalidInput(
            f"expected an integer from 1 to {MAX_LIMIT_MICROUSD} micro-USD", field=field
        )
    return amount


def check_tokens(tokens: int, field: str) -> int:
    if isinstance(tokens, bool) or not 0 < tokens <= _MAX_TOKENS:
        raise InvalidInput(f"expected an integer from 1 to {_MAX_TOKENS} tokens", field=field)
    return tokens


def check_warn_percent(percent: int) -> int:
    if isinstance(percent, bool) or not 0 <= percent <= 100:
        raise InvalidInput("expected an integer from 0 to 100", field="warn_percent")
    return percent


class LimitChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays. A null lifts a limit: that of a session's money is always finite.

    ``acknowledge`` lets an account go on that was frozen because it was overdrawn.
    """

    limit_microusd: int | msgspec.UnsetType | None = msgspec.UNSET
    token_limit: int | msgspec.UnsetType | None = msgspec.UNSET
    per_action_microusd: int | msgspec.UnsetType = msgspec.UNSET
    per_turn_microusd: int | msgspec.UnsetType | None = msgspec.UNSET
    warn_percent: int | msgspec.UnsetType = msgspec.UNSET
    acknowledge: bool = False

    def wish(self, account: str) -> LimitWish:
        """The change in the form of the script.

        Raises:
            InvalidInput: a value is out of range, or not one that this account has.

        """
        own = account.startswith("s:")
        if self.limit_microusd is None and own:
            raise InvalidInput("a session's limit is always finite", field="limit_microusd")
        for field in ("per_action_microusd", "per_turn_microusd"):
            if getattr(self, field) is not msgspec.UNSET and not own:
                raise InvalidInput("only sessions have this limit", field=field)
        if self == LimitChange():
            raise InvalidInput("expected at least one of its fields", field="body")
        for field in ("limit_microusd", "per_action_microusd", "per_turn_microusd"):
            amount = getattr(self, field)
            if amount is not msgspec.UNSET and amount is not None:
                check_limit(amount, field)
        tokens, percent, per_turn = self.token_limit, self.warn_percent, self.per_turn_microusd
        if isinstance(tokens, int):
            check_tokens(tokens, "token_limit")
        return LimitWish(
            limit="" if self.limit_microusd is msgspec.UNSET else unlimited_or(self.limit_microusd),
            token_limit="" if tokens is msgspec.UNSET else unlimited_or(tokens),
            per_action=_given(self.per_action_microusd),
            per_turn="none" if per_turn is None else _given(per_turn),
            warn_percent="" if percent is msgspec.UNSET else str(check_warn_percent(percent)),
            acknowledge=self.acknowledge,
        )


def _given(amount: int | msgspec.UnsetType) -> str:
    return "" if amount is msgspec.UNSET else str(amount)


async def change_limit(
    store: Store,
    workspace: str,
    account: str,
    change: LimitChange,
    *,
    change_id: str = "",
    actor: str = SYSTEM,
) -> AccountView:
    """Change limits; every change is a ledger entry with an id. Turns that wait are not woken.

    Raises:
        Conflict: ``change_id`` was used for another change.
        InvalidInput: names the field.
        NotFound: no such account.

    """
    wish = change.wish(account)
    change_id = change_id or new_id("lim")
    await set_limit(store, workspace, account, wish, change_id=change_id, actor=actor)
    return (await read_accounts(store, workspace, [account]))[0]
