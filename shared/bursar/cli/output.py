"""What commands print: tables and fields for people, JSON for scripts."""

import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from bursar.money import usd

if TYPE_CHECKING:
    from rich.console import Console

    from bursar.client import AccountView

__all__ = [
    "ago",
    "bar",
    "budget_cells",
    "clean",
    "console",
    "print_fields",
    "print_json",
    "print_table",
    "tokens",
]

_BAR_CELLS = 10
_PLAIN_WIDTH = 200
_CONTROLS = {code: "�" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


@cache
def console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    out = Console(stderr=stderr, highlight=False)
    # In a pipe nothing has a width; rich's 80 columns would cut ids that scripts look for.
    return out if out.is_terminal else Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)


def clean(text: str) -> str:
    """Make text from models and tools safe to print: no escape sequences reach the terminal."""
    return text.translate(_CONTROLS)


def print_json(value: Any) -> None:
    """Print one JSON document on one line."""
    import msgspec

    print(msgspec.json.encode(value).decode(), flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print rows under headings; headings that end in ``>`` align to the right."""
    from rich.table import Table

    if not rows:
        console().print(empty, style="dim")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        # The first column is what one copies into the next command: it is never cut.
        whole = max(len(row[0]) for row in rows) if index == 0 else None
        justify: Literal["right", "left"] = "right" if column.endswith(">") else "left"
        table.add_column(column.rstrip(">"), justify=justify, no_wrap=True, min_width=whole)
    for row in rows:
        table.add_row(*row)
    console().print(table)


def print_fields(fields: Mapping[str, str]) -> None:
    """Print names and values in two columns; empty values are left out."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value:
            table.add_row(name, value)
    console().print(table)


def ago(at_ms: int) -> str:
    """A time of Redis's clock, seen from now by ours: good enough for people."""
    seconds = max(0, int(time.time() - at_ms / 1000))
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds // unit_s} {unit} ago"
    return f"{seconds} s ago" if seconds > 1 else "just now"


def tokens(count: int) -> str:
    return f"{count:,}"


def bar(used: int, limit: int, warn_percent: int) -> str:
    """How much of a limit is used, as rich markup; yellow from the warn level, red when full."""
    percent = used * 100 // limit if limit else 100
    full = min(_BAR_CELLS, max(percent * _BAR_CELLS // 100, 1 if used else 0))
    colour = "red" if percent >= 100 else "yellow" if percent >= warn_percent else "green"
    share = "<1" if used and percent == 0 else str(percent)
    return f"[{colour}]{'█' * full}[/][dim]{'░' * (_BAR_CELLS - full)}[/] {share:>4} %"


def budget_cells(account: "AccountView") -> list[str]:
    """Name, spent, held, limit, left and a bar of one account."""
    limit = account.limit_microusd
    used = account.posted_microusd + account.pending_microusd
    return [
        account.account,
        usd(account.posted_microusd),
        usd(account.pending_microusd),
        "unlimited" if limit is None else usd(limit),
        "" if account.available_microusd is None else usd(account.available_microusd),
        "" if limit is None else bar(used, limit, account.warn_percent),
    ]
