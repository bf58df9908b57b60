"""The ``bursar`` command. Commands import what is heavy only when they run."""

from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 failed, 2 wrong usage, 3 no gateway, 130 Ctrl-C."""
    try:
        from bursar.cli.app import run

        status = run(argv)
    except KeyboardInterrupt:  # While the imports are still going on.
        status = 130
    raise SystemExit(status)
