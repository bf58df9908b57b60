"""Benchmarks that measure several things, each of which can be asked for alone."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.report import Bar, report

__all__ = ["Found", "Part", "run_parts"]

Found = tuple[list[tuple[str, str]], list[Bar]]
"""Rows and bars of a report."""
Part = Callable[[Path], Found]
"""Measures one thing, in a folder of its own."""


def run_parts(bench: str, parts: Mapping[str, Part], *, only: str, seed: int) -> None:
    """Run them one after the other and report on all.

    Args:
        only: names of those to run, with commas between; empty for all.

    """
    rows, bars = list[tuple[str, str]](), list[Bar]()
    for name in only.split(",") if only else parts:
        print(f"{name} …", flush=True)
        with tempfile.TemporaryDirectory(prefix=f"bursar-{name}-") as folder:
            more_rows, more_bars = parts[name](Path(folder))
        rows += more_rows
        bars += more_bars
    report(bench, seed, rows, bars)
