"""The audit of a workspace's money: every account is computed anew and compared.

It is exact while the workspace is busy. A script reads accounts, the end of the ledger and the ids
of the open holds at one moment; what is read afterwards does not change any more. Accounts come a
lot at a time, each lot with the end that the ledger had then.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from bursar.budgets.ledger import LedgerEntry, account_names, walk_ledger
from bursar.errors import Conflict
from bursar.store.codec import text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.ledger import AccountState, Snapshot, entry_id, take
from bursar.store.store import Store

__all__ = ["BudgetAudit", "Difference", "audit_budgets"]

_LOT = 100  # accounts of one script: some two milliseconds of Redis
_TRIES = 5


class Difference(msgspec.Struct, frozen=True):
    """Something that is not as it has to be. ``field`` is the account's, or one of these:

    ``posted + pending`` (``expected`` is the most that it may be), ``account`` (it is missing), and
    ``hold <id>`` (it has no record, so nobody can tell what it holds).
    """

    account: str
    field: str
    expected: int
    found: int


class BudgetAudit(msgspec.Struct, frozen=True):
    """What was looked at, and what is wrong: nothing, if ``ok``."""

    workspace: str
    ok: bool
    accounts: int
    holds: int
    entries: int
    differences: list[Difference]


class _Hold(msgspec.Struct, frozen=True):
    cost: int
    tokens: int
    accounts: list[str]


_Sums = dict[str, tuple[int, int]]
"""Micro-USD and tokens by account."""


async def audit_budgets(
    store: Store, workspace: str, accounts: Sequence[str] | None = None
) -> BudgetAudit:
    """Compare accounts with the ledger and the open holds.

    Args:
        accounts: None is all that there are when it begins.

    Raises:
        Conflict: checkpoints came faster than the ledger could be read (``ledger_busy``).

    """
    ws = store.workspace(workspace)
    for _ in range(_TRIES):
        found = await _audit(store, ws, accounts or await account_names(store, ws))
        if found is not None:
            return found
    raise Conflict("the ledger is checkpointed faster than it can be read", code="ledger_busy")


async def _audit(store: Store, ws: WorkspaceKeys, names: Sequence[str]) -> BudgetAudit | None:
    holds: dict[str, _Hold | None] = {}
    lots = []
    for first in range(0, len(names), _LOT):
        lot = await take(store, ws, names[first : first + _LOT])
        await _read_holds(store, ws, lot.holds, holds)
        lots.append(lot)
    books = _Books(lots)
    start = lots[0].checkpoint
    ms, number = lots[-1].newest
    async for page in walk_ledger(store, ws.id, after=start, before=f"{ms}-{number + 1}"):
        for entry in page:
            books.enter(entry)
    now = text(await store.redis.call("HGET", ws.hash, "checkpoint"))
    if now != start:
        # What we read may have been trimmed under our eyes; the next look starts from there.
        return None
    differences = [
        difference
        for lot, booked in zip(lots, books.close(), strict=True)
        for difference in _compare(lot, booked, holds)
    ]
    differences += [
        Difference("", f"hold {hold_id}", 1, 0) for hold_id, hold in holds.items() if hold is None
    ]
    return BudgetAudit(ws.id, not differences, len(names), len(holds), books.entries, differences)


async def _read_holds(
    store: Store, ws: WorkspaceKeys, ids: Sequence[str], known: dict[str, _Hold | None]
) -> None:
    """Add the holds that are not known yet. What a hold holds never changes; None has no record."""
    fresh = [hold_id for hold_id in ids if hold_id not in known]
    replies = [
        store.redis.call("HMGET", ws.hold(hold_id), "cost", "tokens", "accounts")
        for hold_id in fresh
    ]
    for hold_id, reply in zip(fresh, replies, strict=True):
        cost, tokens, names = map(text, await reply)
        found = _Hold(int(cost), int(tokens), names.split(",")) if names else None
        known[hold_id] = found


class _Books:
    """Adds up the ledger, and notes what every lot's accounts came to at the lot's moment."""

    def __init__(self, lots: Sequence[Snapshot]) -> None:
        self.entries = 0
        self._lots = lots
        self._noted: list[_Sums] = []
        self._sums: dict[str, tuple[int, int]] = {}
        self._opened = {a.name: a.opened_ms for lot in lots for a in lot.accounts}

    def enter(self, entry: LedgerEntry) -> None:
        while entry_id(entry["entry"]) > self._lots[len(self._noted)].newest:
            self._note()
        self.entries += 1
        match entry["op"]:
            case "commit" | "released" | "unconfirmed" | "adjust":
                self._add(entry)
            case "reset":
                self._set(entry, 0, 0)
            case "carried_forward":
                self._set(entry, int(entry["posted"]), int(entry["tokens"]))

    def close(self) -> list[_Sums]:
        while len(self._noted) < len(self._lots):
            self._note()
        return self._noted

    def _note(self) -> None:
        lot = self._lots[len(self._noted)]
        self._noted.append({a.name: self._sums.get(a.name, (0, 0)) for a in lot.accounts})

    def _add(self, entry: LedgerEntry) -> None:
        cost, tokens = int(entry["actual"]), int(entry["tokens"])
        for name in entry["accounts"].split(","):
            if self._counts(name, entry):
                posted, used = self._sums.get(name, (0, 0))
                # A correction of what was booked in an earlier period takes nothing from this one.
                self._sums[name] = max(0, posted + cost), max(0, used + tokens)

    def _set(self, entry: LedgerEntry, posted: int, tokens: int) -> None:
        if self._counts(entry["account"], entry):
            self._sums[entry["account"]] = posted, tokens

    def _counts(self, name: str, entry: LedgerEntry) -> bool:
        """Whether it is about an account here, not about a deleted session of the same id."""
        opened_ms = self._opened.get(name)
        return opened_ms is not None and int(entry["at_ms"]) >= opened_ms


def _compare(
    lot: Snapshot, booked: _Sums, holds: Mapping[str, _Hold | None]
) -> Iterator[Difference]:
    held: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for hold_id in lot.holds:
        hold = holds[hold_id]
        if hold is None:
            continue
        for name in hold.accounts:
            cost, tokens = held[name]
            held[name] = cost + hold.cost, tokens + hold.tokens
    for account in lot.accounts:
        if account.exists:
            yield from _check(account, booked[account.name], held[account.name])
        elif account.opened_ms:
            yield Difference(account.name, "account", 1, 0)


def _check(
    account: AccountState, booked: tuple[int, int], held: tuple[int, int]
) -> Iterator[Difference]:
    wanted = {
        "posted": (booked[0], account.posted_microusd),
        "pending": (held[0], account.pending_microusd),
        "tokens_posted": (booked[1], account.tokens_posted),
        "tokens_pending": (held[1], account.tokens_pending),
        "waiting": (account.in_line, account.waiting),
    }
    for field, (expected, found) in wanted.items():
        if expected != found:
            yield Difference(account.name, field, expected, found)
    if account.limit_microusd is not None:
        bound = max(account.limit_microusd, account.floor_microusd) + account.overrun_microusd
        used = account.posted_microusd + account.pending_microusd
        if used > bound:
            yield Difference(account.name, "posted + pending", bound, used)
