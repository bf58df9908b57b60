"""How a benchmark says what it found: a table for people, one JSON line for programs."""

import itertools
import json
import os
import platform
import random
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

__all__ = ["Bar", "median", "none_of", "percentile", "report", "seed_of", "show_wrong"]

_MOST = 50


@dataclass(frozen=True)
class Bar:
    """One figure against what it should reach. ``bar`` says in words what ``holds`` compares."""

    id: str
    what: str
    value: float
    bar: str
    holds: bool


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def seed_of(wanted: int) -> int:
    """The wanted seed, or a new one for 0; says which."""
    seed = wanted or random.SystemRandom().randrange(1, 10**6)
    print(f"seed {seed}", flush=True)
    return seed


def none_of(name: str, what: str, count: int, enough: bool = True) -> Bar:
    """The bar of what must not happen at all. ``enough``: whether it had its chances to."""
    return Bar(name, what, count, "0", enough and count == 0)


def show_wrong(found: Iterable[str]) -> None:
    """Say what went wrong, each on a line, up to fifty."""
    for line in itertools.islice(found, _MOST):
        print(f"WRONG: {line}")


def report(bench: str, seed: int, rows: Sequence[tuple[str, str]], bars: Sequence[Bar]) -> None:
    """Print the table, the machine and, last of all, the JSON line."""
    table = Table(title=f"bench {bench}", title_justify="left")
    table.add_column("measured")
    table.add_column("value", justify="right")
    for what, value in rows:
        table.add_row(what, value)
    for bar in bars:
        table.add_row(f"{bar.id} {bar.what}", f"{bar.value:g}  ({bar.bar}: {_word(bar.holds)})")
    Console().print(table)
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, Python {sys.version.split()[0]}")
    print(
        json.dumps(
            {"bench": bench, "seed": seed, "bars": [asdict(bar) for bar in bars]},
            ensure_ascii=False,
        )
    )


def _word(holds: bool) -> str:
    return "holds" if holds else "does not hold"
