"""How the arguments of a call are shown: all of them, each by its name, and nothing hidden.

What comes from a model is only ever put into `rich.text.Text`, which knows no markup, after
`bursar.gate.display.readable` has spelled out what would be invisible or steer the terminal. Every
line of it stands behind a bar, so that it cannot look like a line of ours.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from bursar.gate.display import MAX_NAME, readable

__all__ = [
    "ALL",
    "FOLDED",
    "Folding",
    "argument_lines",
    "barred",
    "folded_lines",
    "hides_something",
]

_BAR = "│ "
_SHORT = 60
"""Characters of JSON that may stand beside the name."""
_CONTROL_CODE = re.compile(r"(?<!\\)(?:\\\\)*\\(?:u00|[bfr])")
"""How canonical JSON writes control characters; line ends and tabs are no cause for concern."""


class Folding:
    """How much of something long is shown; the middle is left out, with its size and hash."""

    def __init__(self, lines: int, chars: int) -> None:
        self.lines = lines
        self.chars = chars


FOLDED = Folding(lines=30, chars=1000)
ALL = Folding(lines=10**9, chars=10**9)


def argument_lines(
    arguments_json: str, folding: Folding = FOLDED, *, without: Collection[str] = ()
) -> list[Text]:
    """Return the lines for a call's arguments, but for those that are shown in another way."""
    try:
        arguments: Any = json.loads(arguments_json)
        return [
            line
            for name, value in arguments.items()
            if name not in without
            for line in _named(name, value, folding)
        ]
    except RecursionError:
        return [Text(readable(arguments_json, folding.chars))]


def folded_lines(lines: Iterable[Text], folding: Folding) -> list[Text]:
    """Leave out the middle of many lines, saying how many these were, and their hash."""
    kept = list(lines)
    if len(kept) <= folding.lines:
        return kept
    head = folding.lines * 2 // 3
    tail = folding.lines - head
    left_out = kept[head:-tail]
    digest = hashlib.sha256("\n".join(line.plain for line in left_out).encode()).hexdigest()
    said = f"… {len(left_out):,} more lines, sha256 {digest[:16]}; --full shows them …"
    return [*kept[:head], Text(said, style="yellow"), *kept[-tail:]]


def barred(lines: Iterable[Text], out: Console) -> list[Text]:
    """Put a bar before every line, also before those that a long one is broken into."""
    width = max(20, out.width - len(_BAR))
    return [
        Text(_BAR, style="dim") + piece
        for line in lines
        for piece in line.wrap(out, width, overflow="fold", tab_size=4) or [Text()]
    ]


def hides_something(arguments_json: str) -> bool:
    """Whether the arguments hold characters that nobody would see, or that steer a terminal."""
    if _CONTROL_CODE.search(arguments_json):
        return True
    return any(readable(char) != char for char in set(arguments_json))


def _named(name: str, value: Any, folding: Folding) -> list[Text]:
    shown = Text(readable(name, MAX_NAME), style="bold")
    if isinstance(value, str) and "\n" in value:
        lines = [Text(readable(line, folding.chars)) for line in value.split("\n")]
        count = len(lines) - (lines[-1].plain == "")
        shown.append(f"  {count:,} lines", style="dim")
        return [shown, *_indented(folded_lines(lines, folding))]
    flat = _json(value)
    if len(flat) <= _SHORT or not isinstance(value, dict | list):
        return [shown.append("  ").append_text(_plain(readable(flat, folding.chars)))]
    lines = [Text(readable(line, folding.chars)) for line in _json(value, indent=2).split("\n")]
    return [shown, *_indented(folded_lines(lines, folding))]


def _plain(text: str) -> Text:
    return Text(text, style="not bold")


def _indented(lines: Iterable[Text]) -> list[Text]:
    return [Text("  ") + line for line in lines]


def _json(value: Any, indent: int | None = None) -> str:
    separators = (", ", ": ") if indent is None else (",", ": ")
    return json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
