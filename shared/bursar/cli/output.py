"""What commands print: tables and fields for people, JSON for scripts."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text


__all__ = [
    "ago",
    "ahead",
    "bar",
    "clean",
    "command",
    "console",
    "fitting_table",
    "make_table",
    "print_fields",
    "print_json",
    "print_table",
    "tokens",
    "watch",
]

T = TypeVar("T")

_BAR_CELLS = 10
_PLAIN_WIDTH = 200
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = {
    code: "�" for code in (*range(32), *range(127, 160), *_DIRECTIONS) if chr(code) not in "\n\t"
}
_CODES = {code: f"\\u{code:04x}" for code in (*range(127, 160), *_DIRECTIONS)}
"""JSON has codes for the first 32 already."""


@cache
def console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    # Without emoji, so that a path such as a:key:b is shown as it is.
    out = Console(stderr=stderr, highlight=False, emoji=False)
    if out.is_terminal:
        return out
    # In a pipe nothing has a width; rich's 80 columns would cut ids that scripts look for.
    return Console(stderr=stderr, highlight=False, emoji=False, width=_PLAIN_WIDTH)


def command(words: str, workspace: str) -> str:
    """A command to be typed as it is: ``bursar budget set 5 -w acme``."""
    return f"bursar {words}" + ("" if workspace == "default" else f" -w {workspace}")


def clean(text: str) -> str:
    """Make text from models and tools safe to print: it steers neither terminal nor direction."""
    return text.translate(_CONTROLS)


def print_json(value: Any) -> None:
    """Print one JSON document on one line; what could steer a terminal is written as its code."""
    import msgspec

    text = msgspec.json.encode(value).decode()
    print(text.translate(_CODES), flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print rows under headings."""
    console().print(make_table(columns, rows, empty=empty))


def make_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str
) -> "Table | Text":
    """Rows under headings; headings that end in ``>`` align to the right."""
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return Text(empty, style="dim")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        # The first column is what one copies into the next command: it is never cut.
        whole = max(len(row[0]) for row in rows) if index == 0 else None
        justify: Literal["right", "left"] = "right" if column.endswith(">") else "left"
        table.add_column(column.rstrip(">"), justify=justify, no_wrap=True, min_width=whole)
    for row in rows:
        table.add_row(*row)
    return table


def watch(
    read: Callable[[], T],
    draw: Callable[[T], "RenderableType"],
    *,
    every_s: float,
    as_json: bool,
) -> NoReturn:
    """Show something again and again until Ctrl-C, on a terminal in its old place.

    As JSON, or in a pipe, each look comes after the one before.
    """
    from rich.live import Live

    out = console()
    if as_json or not out.is_terminal:
        while True:
            seen = read()
            if as_json:
                print_json(seen)
            else:
                out.print(draw(seen))
            time.sleep(every_s)
    with Live(console=out, auto_refresh=False) as live:
        while True:
            live.update(draw(read()), refresh=True)
            time.sleep(every_s)


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


def ahead(at_ms: int) -> str:
    """How far off a time of Redis's clock is, seen by ours."""
    seconds = int(at_ms / 1000 - time.time())
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"in {seconds // unit_s} {unit}"
    return f"in {seconds} s" if seconds > 0 else "now"


def tokens(count: int) -> str:
    return f"{count:,}"


def fitting_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> "RenderableType":
    """Rows under headings if they fit into the terminal, else a block for each, cut nowhere."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    plain = [[Text.from_markup(cell).plain for cell in row] for row in [columns, *rows]]
    width = sum(max(map(len, column)) for column in zip(*plain, strict=True)) + 2 * len(columns) - 2
    if width <= console().width:
        return make_table(columns, rows, empty="")
    names = [column.rstrip(">") for column in columns]
    blocks: list[RenderableType] = []
    for name, *cells in rows:
        told = zip(names[1:], cells, strict=True)
        facts = "  ".join(f"[dim]{what}[/] {cell}" for what, cell in told if cell)
        blocks += [Text(name, style="bold"), Padding(facts, (0, 0, 0, 2))]
    return Group(*blocks)


def bar(used: int, limit: int, warn_percent: int, *, colour: str = "") -> str:
    """How much of a limit is used, as rich markup; yellow from the warn level, red when full."""
    percent = used * 100 // limit if limit else 100
    full = min(_BAR_CELLS, max(percent * _BAR_CELLS // 100, 1 if used else 0))
    colour = colour or (
        "red" if percent >= 100 else "yellow" if percent >= warn_percent else "green"
    )
    share = "<1" if used and percent == 0 else str(percent)
    return f"[{colour}]{'█' * full}[/][dim]{'░' * (_BAR_CELLS - full)}[/] {share:>4} %"
