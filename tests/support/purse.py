"""Short ways to end holds and to look at accounts and the ledger of a stage."""

from bursar.store.codec import text
from bursar.store.scripts.budgets import EndedHold, EndOp, HoldRef, end_hold
from support.stage import Stage

__all__ = ["BAD_AMOUNTS", "account", "end", "ledger", "money"]

BAD_AMOUNTS = [
    "nan", "NaN", "inf", "-inf", "-1", "-0", "1.5", "1e3", "1E3", "0x10", "1" * 16, "", " ", " 7",
    "7 ", "007", "+7", "7\n", "\u0661", "seven",
]  # fmt: skip


async def end(
    stage: Stage,
    op: EndOp,
    hold: HoldRef,
    *,
    actual: object = 0,
    secret: str | None = None,
    only_if_due: bool = False,
    names: str | None = None,
) -> EndedHold | None:
    return await end_hold(
        stage.store,
        stage.session,
        op=op,
        hold_id=hold.id,
        names=hold.names if names is None else names,
        turn="trn1",
        secret=hold.secret if secret is None else secret,
        actual_microusd=actual,  # type: ignore[arg-type]
        only_if_due=only_if_due,
    )


async def account(stage: Stage, name: str) -> dict[str, str]:
    return await stage.hash(stage.ws.account(name))


async def money(stage: Stage, name: str = "s:ses1") -> tuple[int, int]:
    fields = await account(stage, name)
    return int(fields["posted"]), int(fields["pending"])


async def ledger(stage: Stage) -> list[dict[str, str]]:
    entries = await stage.store.redis.call("XRANGE", stage.ws.ledger, "-", "+")
    return [{text(k): text(v) for k, v in fields.items()} for _, fields in entries]
