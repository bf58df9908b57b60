"""Every cent is looked for: journals against ledger, ledger against accounts, and what is left."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from bench.overspend.journal import What, read_notes
from bench.overspend.plan import (
    CLIENTS,
    MAX_COST,
    TOKENS_A_MICROUSD,
    WORKSPACE,
    Plan,
    limits,
    seats,
    token_limits,
)
from bursar.store.codec import text, text_list
from bursar.store.store import Store

__all__ = ["Findings", "audit"]

_CHUNK = 5000
_ENDS = {"commit", "released", "unconfirmed"}
_BOOKED = (What.COMMITTED, What.RELEASED, What.UNCONFIRMED)


@dataclass
class Findings:
    """Each list names what is wrong; all are empty if nothing is."""

    overspent: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    conflicts_missed: int = 0
    debits: int = 0
    probes: int = 0
    late: int = 0
    """Holds of calls that were answered with a refusal after an earlier copy had got through."""
    reached: list[str] = field(default_factory=list)
    """Accounts that could not pay for one more debit, whichever it was."""
    outcomes: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)

    @property
    def wrong(self) -> list[str]:
        return [*self.overspent, *self.lost, *self.doubled, *self.left, *self.unequal]

    @property
    def fit(self) -> float:
        """Share of the debits that were let through."""
        return 1 - self.outcomes["REFUSED"] / max(1, self.debits)


@dataclass
class _Ledger:
    """What the ledger adds up to."""

    booked: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By hold."""
    ends: Counter[str] = field(default_factory=Counter)
    """How often each hold ended."""
    as_committed: set[str] = field(default_factory=set)
    money: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    by_op: Counter[str] = field(default_factory=Counter)


async def audit(store: Store, plan: Plan) -> Findings:
    findings = Findings()
    ledger = await _add_up(store)
    findings.ended = ledger.by_op
    findings.doubled = [f"{hold} ended {n} times" for hold, n in ledger.ends.items() if n > 1]
    known: set[str] = set()
    for client in range(CLIENTS):
        _check_journal(plan, client, ledger, known, findings)
    findings.unequal += [f"{hold} is in no journal" for hold in ledger.booked.keys() - known]
    await _check_accounts(store, plan, ledger, findings)
    await _check_left(store, findings)
    return findings


async def _add_up(store: Store) -> _Ledger:
    ledger = _Ledger()
    key, start = store.workspace(WORKSPACE).ledger, "-"
    while entries := await store.redis.call("XRANGE", key, start, "+", "COUNT", _CHUNK):
        start = "(" + text(entries[-1][0])
        for _, raw in entries:
            op = text(raw[b"op"])
            ledger.by_op[op] += 1
            if op not in _ENDS and op != "adjust":
                continue
            hold, actual, tokens = text(raw[b"id"]), int(raw[b"actual"]), int(raw[b"tokens"])
            ledger.booked[hold] += actual
            ledger.ends[hold] += op in _ENDS
            if op == "commit":
                ledger.as_committed.add(hold)
            for name in text(raw[b"accounts"]).split(","):
                ledger.money[name] += actual
                ledger.tokens[name] += tokens
    return ledger


def _check_journal(
    plan: Plan, client: int, ledger: _Ledger, known: set[str], findings: Findings
) -> None:
    """What a client was told is what the ledger says."""
    sids = [seat.sids[-1] for seat in seats(client)]
    for what, seat, number, amount in read_notes(plan.journal(client)):
        hold = f"{sids[seat]}/{plan.turns[sids[seat]]}/{number}/1"
        if what is What.WISH:
            known.add(hold)
            findings.debits += 1
        elif what is What.PROBED:
            findings.probes += 1
            findings.conflicts_missed += not amount
        elif what is What.REFUSED:
            findings.outcomes[what.name] += 1
            findings.late += hold in ledger.ends
            if hold in ledger.as_committed:
                findings.unequal.append(f"{hold} was refused, and committed all the same")
        elif what in _BOOKED:
            findings.outcomes[what.name] += 1
            if hold not in ledger.ends:
                findings.lost.append(f"{hold}: {what.name} {amount} is not in the ledger")
            elif ledger.booked[hold] != amount:
                findings.lost.append(
                    f"{hold}: {what.name} {amount}, in the ledger {ledger.booked[hold]}"
                )


async def _check_accounts(store: Store, plan: Plan, ledger: _Ledger, findings: Findings) -> None:
    ws = store.workspace(WORKSPACE)
    money, tokens = limits(plan.debits), token_limits(plan.debits)
    for name in sorted(ledger.money):
        fields = ("posted", "pending", "tokens_posted", "tokens_pending", "overrun", "frozen")
        values = await store.redis.call("HMGET", ws.account(name), *fields)
        account = dict(zip(fields, map(int, values), strict=True))
        for what, limit, most in (
            ("posted", money.get(name), MAX_COST),
            ("tokens_posted", tokens.get(name), MAX_COST * TOKENS_A_MICROUSD),
        ):
            if limit is not None and account[what] > limit:
                findings.overspent.append(f"{name}: {what} {account[what]} of {limit}")
            if limit is not None and limit - account[what] < most:
                findings.reached.append(name)
        if account["overrun"] or account["frozen"]:
            findings.overspent.append(f"{name}: overrun {account['overrun']}")
        if account["pending"] or account["tokens_pending"]:
            findings.left.append(f"{name}: {account['pending']} are still held")
        for what, booked in (("posted", ledger.money), ("tokens_posted", ledger.tokens)):
            if account[what] != booked[name]:
                findings.unequal.append(f"{name}: {what} {account[what]}, ledger {booked[name]}")
    for sid, turn in plan.turns.items():
        cost = int(await store.redis.call("HGET", ws.turn(turn), "cost_microusd") or 0)
        own = sum(n for hold, n in ledger.booked.items() if hold.startswith(f"{sid}/"))
        if cost != own:
            findings.unequal.append(f"turn of {sid}: cost {cost}, ledger {own}")


async def _check_left(store: Store, findings: Findings) -> None:
    """Nothing of a hold is left: no open record, no timer, no entry in its session's effects."""
    ws = store.workspace(WORKSPACE)
    timers = await store.redis.call("ZRANGE", ws.shard.timers, 0, -1)
    findings.left += [f"timer {member}" for member in text_list(timers)]
    cursor, over = 0, False
    while not over:
        cursor, keys = await store.redis.call(
            "SCAN", cursor, "MATCH", f"{ws.hold('')}*", "COUNT", _CHUNK
        )
        over = cursor == 0
        states = await asyncio.gather(*(store.redis.call("HGET", key, "state") for key in keys))
        open_ones = [key for key, state in zip(keys, states, strict=True) if text(state) == "open"]
        findings.left += [f"{text(key)} is open" for key in open_ones]
    for client in range(CLIENTS):
        for seat in seats(client):
            session = ws.session(seat.sids[-1])
            fields = text_list(await store.redis.call("HKEYS", session.effects))
            findings.left += [f"{session.id}: {f}" for f in fields if f.startswith("hold:")]
