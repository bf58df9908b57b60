"""Who spends from what: four trees of depth 3, eight clients, limits on every level."""

import random
from pathlib import Path

import msgspec

__all__ = [
    "CLIENTS",
    "TOKENS_A_MICROUSD",
    "WORKSPACE",
    "Plan",
    "Seat",
    "limits",
    "pick_debit",
    "seats",
    "token_limits",
]

WORKSPACE = "purse"
CLIENTS = 8
TOKENS_A_MICROUSD = 3
MAX_COST = 200
_MEAN_ACTUAL = (MAX_COST + 1) / 2 * 0.875  # see `pick_debit`


class Plan(msgspec.Struct, frozen=True):
    """What every process has to know; handed over as a file.

    Args:
        urls: where each client finds Redis, which may be a proxy of its own.
        turns: the turn of each session.
        copies: most times that a call is sent, whether or not it was answered.
        planted: run a ledger that skips 2 % of its checks.

    """

    urls: tuple[str, ...]
    folder: str
    debits: int
    seed: int
    turns: dict[str, str]
    copies: int = 1
    planted: bool = False
    callers: int = 8
    lease_ms: int = 1500
    hold_ms: int = 2000
    timeout_s: float = 3.0

    @property
    def debits_each(self) -> int:
        return self.debits // CLIENTS

    def journal(self, client: int) -> Path:
        return Path(self.folder) / f"client-{client}.journal"


class Seat(msgspec.Struct, frozen=True):
    """A session that one client drives. ``sids`` lead to it from the root down."""

    sids: tuple[str, ...]
    user: str


def seats(client: int) -> list[Seat]:
    """Two clients a tree: each has a child and a grandchild, the first of them the root as well."""
    tree, side = divmod(client, 2)
    root, child = f"r{tree}", f"c{tree}{side}"
    found = [
        Seat((root, child), f"u{tree}"),
        Seat((root, child, f"g{tree}{side}"), f"u{tree}"),
    ]
    return found if side else [*found, Seat((root,), f"u{tree}")]


def pick_debit(chance: random.Random) -> tuple[int, int]:
    """What is held, and what is spent of it in the end: all in three of four cases."""
    cost = chance.randint(1, MAX_COST)
    return cost, cost if chance.random() < 0.75 else chance.randint(0, cost)


def limits(debits: int) -> dict[str, int]:
    """Limits in micro-USD by account, such that about nine of ten debits fit.

    In the first tree the sessions that spend run dry, in the second the ones above them, in the
    third the user; the workspace cannot pay for all of the rest.
    """
    asked = {"ws": debits * _MEAN_ACTUAL}
    for client in range(CLIENTS):
        mine = seats(client)
        for seat in mine:
            share = debits * _MEAN_ACTUAL / CLIENTS / len(mine)
            for name in (f"user:{seat.user}", *(f"s:{sid}" for sid in seat.sids)):
                asked[name] = asked.get(name, 0) + share
    binding = {"s:g00": 0.8, "s:g01": 0.7, "s:c10": 0.9, "s:c11": 0.8, "user:u2": 0.94, "ws": 0.91}
    return {name: int(asked[name] * share) + MAX_COST for name, share in binding.items()}


def token_limits(debits: int) -> dict[str, int]:
    """The same in tokens: one session of the last tree runs out of them first."""
    asked = debits * _MEAN_ACTUAL / CLIENTS / 2 * TOKENS_A_MICROUSD
    return {"s:g31": int(asked * 0.85)}
