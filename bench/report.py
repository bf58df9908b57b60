"""How a benchmark says what it found: a table for people, one JSON line for programs."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

__all__ = ["Bar", "median", "percentile", "report"]


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
