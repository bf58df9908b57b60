"""Accounts that have run dry: what people are asked, and what becomes of their answers.

An account is asked about once, however many turns wait for it. More money, or a denial, answers it.
"""

import msgspec

from bursar.audit.entries import SYSTEM, Record
from bursar.budgets.accounts import AccountView, read_accounts
from bursar.budgets.waiters import deny_all, wake_all
from bursar.errors import NotFound
from bursar.queue import Bells
from bursar.store.codec import text_list
from bursar.store.scripts.audit import AuditLog, append
from bursar.store.scripts.waiters import read_waiters
from bursar.store.store import Store

__all__ = ["Question", "WaitingTurn", "deny", "give", "read_questions"]

_SHOWN = 20


class WaitingTurn(msgspec.Struct, frozen=True):
    """A turn that waits, and the least it needs to go on."""

    session: str
    turn: str
    needs_microusd: int
    needs_tokens: int


class Question(msgspec.Struct, frozen=True):
    """An account that cannot pay, and the first turns of its line."""

    account: AccountView
    turns: list[WaitingTurn]


async def read_questions(store: Store, workspace: str) -> list[Question]:
    """Accounts at which turns wait that people have to decide about, the oldest first."""
    ws = store.workspace(workspace)
    names = text_list(await store.redis.call("ZRANGE", ws.questions, 0, -1))
    questions = []
    for name in names:
        try:
            (account,) = await read_accounts(store, workspace, [name])
        except NotFound:
            # Its session was deleted, so nobody waits any more.
            await store.redis.call("ZREM", ws.questions, name)
            continue
        if account.waiting == 0:
            continue  # those that waited are gone by now; the sweeper will see it, too
        line = await read_waiters(store, ws, name, _SHOWN)
        turns = [
            WaitingTurn(waiter.session, waiter.turn, waiter.cost_microusd, waiter.tokens)
            for waiter in line
        ]
        questions.append(Question(account, turns))
    return questions


async def give(store: Store, bells: Bells, workspace: str, account: str) -> int:
    """An account got more money, or may spend again: wake the turns that fit now."""
    return await wake_all(store, bells, store.workspace(workspace), account, "raised")


async def deny(
    store: Store,
    bells: Bells,
    workspace: str,
    account: str,
    reason: str,
    *,
    actor: str = SYSTEM,
) -> int:
    """End every turn that waits for money of the account, with what it has; returns how many."""
    await read_accounts(store, workspace, [account])
    ws = store.workspace(workspace)
    # First, so that nothing is denied of which nobody knows. Who waits is told one by one.
    await append(store, AuditLog.of(store, workspace), _denial(workspace, account, reason, actor))
    await store.redis.call("HDEL", ws.account(account), "asked_ms")
    await store.redis.call("ZREM", ws.questions, account)
    return await deny_all(store, bells, ws, account, reason)


def _denial(workspace: str, account: str, reason: str, actor: str) -> Record:
    kind, _, sid = account.partition(":")
    return Record(
        workspace=workspace,
        actor=actor,
        action="budget.deny",
        decision="deny",
        session=sid if kind == "s" else "",
        reason=reason,
        details={"account": account},
    )
