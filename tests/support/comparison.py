"""Holds what Redis says against the model of a till, field by field."""

import asyncio
from collections import Counter

from bursar.budgets.audit import audit_budgets
from bursar.store.codec import text, text_list
from support.money import Account
from support.till import NAMES, Till

__all__ = ["compare", "compare_all"]

_SHOWN = (
    "limit", "posted", "pending", "kept", "floor", "overrun", "frozen", "token_limit",
    "tokens_posted", "tokens_pending", "warned", "warn_percent",
)  # fmt: skip


async def compare(till: Till) -> None:
    """Redis holds what the model holds, field by field."""
    call, ws = till.store.redis.call, till.stage.ws
    asked, turn, *hashes = await asyncio.gather(
        call("ZRANGE", ws.questions, 0, -1),
        call("HMGET", ws.turn(till.turn), "cost_microusd", "held_microusd", "closing"),
        *(call("HGETALL", ws.account(name)) for name in NAMES),
    )
    for raw, (name, account) in zip(hashes, till.purse.accounts.items(), strict=True):
        found = {text(field): text(value) for field, value in raw.items()}
        assert {field: found[field] for field in _SHOWN} == _shown(account), name
        assert int(found.get("waiting", 0)) == len(account.line), name
    expected = {name for name, account in till.purse.accounts.items() if account.asked}
    assert set(text_list(asked)) == expected
    purse = till.purse.turn
    spent, held, closing = turn
    assert (int(spent or 0), int(held or 0)) == (purse.cost, purse.held)
    assert (closing is not None) == purse.closed


async def compare_all(till: Till) -> None:
    """What takes longer: holds, the ledger, and the audit that people can run."""
    for hold_id, hold in till.purse.holds.items():
        record = await till.stage.hash(till.stage.ws.hold(hold_id))
        assert record["state"] == hold.state
        if hold.state not in {"open", "released"}:
            assert int(record["actual"]) == hold.actual
            assert int(record["actual_tokens"]) == hold.actual_tokens
    found = await till.store.redis.call("XRANGE", till.stage.ws.ledger, "-", "+")
    ops = Counter(text(fields[b"op"]) for _, fields in found)
    ends = sum(ops[op] for op in ("commit", "released", "unconfirmed"))
    assert ends == till.entries["end"]
    assert ops["adjust"] == till.entries["adjust"]
    assert ops["reset"] == till.entries["reset"]
    assert ops["limit"] + ops["acknowledge"] == till.entries["change"]
    audit = await audit_budgets(till.store, "acme")
    assert audit.differences == []


def _shown(account: Account) -> dict[str, str]:
    """The fields of an account as they stand in Redis."""
    values = {field: str(int(getattr(account, field) or 0)) for field in _SHOWN[:-2]}
    limits = {"limit": account.limit, "token_limit": account.token_limit}
    return (
        values
        | {field: "unlimited" if v is None else str(v) for field, v in limits.items()}
        | {"warned": account.warned, "warn_percent": str(account.warn_percent)}
    )
