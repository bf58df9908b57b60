"""Who spent what in a stretch of time, added up from the ledger."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import aclosing
from typing import Literal, get_args

import msgspec

from bursar.budgets.ledger import LedgerEntry, walk_ledger
from bursar.errors import InvalidInput
from bursar.store.codec import text
from bursar.store.store import Store

__all__ = ["Spender", "Spending", "SpentBy", "read_spending"]

SpentBy = Literal["session", "agent", "model"]

_ENDS = frozenset({"commit", "released", "unconfirmed", "adjust"})
_SPENT = frozenset({"commit", "unconfirmed"})
_MAX_ENTRIES = 1_000_000
_UNKNOWN = "unknown"
_AT_ONCE = 1000


class Spender(msgspec.Struct, frozen=True):
    """``calls`` counts model and tool calls that were paid for.

    ``agent`` is there for sessions only; ``unknown`` stands for that of a session that was deleted.
    """

    name: str
    cost_microusd: int
    tokens: int
    calls: int
    agent: str = ""


class Spending(msgspec.Struct, frozen=True):
    """The dearest first. ``total_microusd`` is of all of them, not only of those listed.

    ``complete`` is false if there was too much to add up; then it is about what came first.
    """

    by: SpentBy
    since_ms: int
    until_ms: int
    total_microusd: int
    entries: int
    complete: bool
    spenders: list[Spender]


class _Sum:
    __slots__ = ("calls", "cost", "tokens")

    def __init__(self) -> None:
        self.cost = self.tokens = self.calls = 0

    def add(self, other: "_Sum") -> None:
        self.cost += other.cost
        self.tokens += other.tokens
        self.calls += other.calls

    def enter(self, entry: LedgerEntry) -> None:
        self.cost += int(entry["actual"])
        self.tokens += int(entry["tokens"])
        self.calls += entry["op"] in _SPENT


async def read_spending(
    store: Store,
    workspace: str,
    *,
    by: str = "session",
    since_ms: int = 0,
    until_ms: int = 0,
    limit: int = 20,
    at_most: int = _MAX_ENTRIES,
) -> Spending:
    """Add up what was booked; entries that were trimmed are not there to be counted.

    Args:
        by: ``session``, ``agent``, or ``model``, which lists tools beside models.
        until_ms: 0 is up to now.
        at_most: entries that are looked at.

    """
    if by not in get_args(SpentBy):
        raise InvalidInput(f"expected one of {', '.join(get_args(SpentBy))}", field="by")
    key: Callable[[LedgerEntry], str] = _kind if by == "model" else lambda entry: entry["session"]
    sums: dict[str, _Sum] = defaultdict(_Sum)
    entries, complete = 0, True
    before = f"{until_ms}-0" if until_ms else ""
    async with aclosing(walk_ledger(store, workspace, since_ms=since_ms, before=before)) as pages:
        async for page in pages:
            for entry in page:
                if entry["op"] in _ENDS:
                    sums[key(entry)].enter(entry)
            entries += len(page)
            if entries >= at_most:
                complete = False
                break
    if by == "agent":
        sums = _grouped(sums, await _agents(store, workspace, list(sums)))
    ranked = sorted(sums.items(), key=lambda item: (-item[1].cost, item[0]))
    listed = [(name, one) for name, one in ranked if one.cost or one.tokens or one.calls][:limit]
    agents: dict[str, str] = {}
    if by == "session":
        agents = await _agents(store, workspace, [name for name, _ in listed])
    return Spending(
        msgspec.convert(by, SpentBy),
        since_ms,
        until_ms,
        sum(one.cost for one in sums.values()),
        entries,
        complete,
        [
            Spender(name, one.cost, one.tokens, one.calls, agents.get(name, ""))
            for name, one in listed
        ],
    )


def _kind(entry: LedgerEntry) -> str:
    """Closing answers count as the model that gave them."""
    kind = entry["kind"]
    return f"model:{kind.removeprefix('closing:')}" if kind.startswith("closing:") else kind


async def _agents(store: Store, workspace: str, sessions: list[str]) -> dict[str, str]:
    ws = store.workspace(workspace)
    agents = {}
    for first in range(0, len(sessions), _AT_ONCE):
        some = sessions[first : first + _AT_ONCE]
        replies = [store.redis.call("HGET", ws.session(sid).hash, "agent") for sid in some]
        for sid, reply in zip(some, replies, strict=True):
            agents[sid] = text(await reply) or _UNKNOWN
    return agents


def _grouped(sums: dict[str, _Sum], agents: dict[str, str]) -> dict[str, _Sum]:
    grouped: dict[str, _Sum] = defaultdict(_Sum)
    for sid, one in sums.items():
        grouped[agents[sid]].add(one)
    return grouped
