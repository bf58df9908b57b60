"""A turn as it happens, on a terminal: text as it comes, one dim line for everything else."""

import sys
from typing import TYPE_CHECKING, Any

import msgspec
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from bursar.cli.accounts import raise_words
from bursar.cli.output import bar, clean, console, print_json, tokens
from bursar.cli.tree_view import TreeProgress
from bursar.money import usd

if TYPE_CHECKING:
    from bursar.client import (
        AccountView,
        Client,
        ClientEvent,
        SessionView,
        TurnResult,
        TurnStream,
    )

__all__ = ["LiveView", "costs_line", "follow", "print_event", "report_failure"]

_ERASE = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))
_SIGNS = {
    "turn.waiting": "…",
    "step.abandoned": "↻",
    "budget.warning": "!",
    "budget.exhausted": "!",
    "budget.overrun": "!",
    "budget.raised": "+",
}


class LiveView:
    """Prints events for a person and counts what they say; one view may see several turns.

    Args:
        session: whose turns they are. What a stream with ``tree`` has of others is shown as one
            line about all sub-agents, where lines can be replaced, and one for each end.

    """

    def __init__(self, session: str = "", *, workspace: str) -> None:
        self.workers: list[str] = []
        """Workers that ran the turns, in the order in which they came."""
        self._workspace = workspace
        self._out = console()
        self._mid_line = False
        self._below = TreeProgress(session) if session else None
        self._sticks = False
        self._dry: set[str] = set()

    def show(self, event: "ClientEvent") -> None:
        self._unstick()
        below = self._below
        if below is None:
            self._show_own(event)
            return
        ended = below.take(event)
        if ended is not None:
            self._line(ended)
        if below.is_below(event):
            self._show_shortage(event)
        else:
            self._show_own(event)
        if not below.wants_money:
            self._dry.clear()
        if below.is_open and not self._mid_line and self._out.is_terminal:
            self._stick(below.line())

    def _show_own(self, event: "ClientEvent") -> None:
        data = event.data
        match event.kind:
            case "text.delta":
                self._text(str(data.get("text", "")))
            case "turn.started":
                self._note_worker(str(data.get("worker", "")))
            case "tool.started" | "tool.finished" if self._is_told_below(data):
                pass
            case "tool.started":
                self._line(f"→ {data.get('name')} {_short(data.get('arguments'))}")
            case "tool.progress":
                self._line(f"· {data.get('name')}: {_short(data.get('progress'))}")
            case "tool.finished" if data.get("is_error"):
                self._line(f"✗ {data.get('name')}: {_short(data.get('output'))}", style="red")
            case "tool.finished":
                self._line(f"← {data.get('name')}: {_short(data.get('output'))}")
            case kind if kind in _SIGNS:
                self._line(f"{_SIGNS[event.kind]} {_notice(event)}", style="yellow")
                self._advise(event)
            case "gap" | "reset":
                self._line("! some of what happened is not shown here", style="yellow")

    def _is_told_below(self, data: dict[str, Any]) -> bool:
        """Whether a line about the sub-agent says it already."""
        return self._below is not None and data.get("name") == "task" and not data.get("is_error")

    def _show_shortage(self, event: "ClientEvent") -> None:
        """Say once of each account that sub-agents wait for it: nobody else tells the person."""
        data = event.data
        account = str(data.get("account", ""))
        if event.kind != "turn.waiting" or data.get("reason") != "budget" or account in self._dry:
            return
        self._dry.add(account)
        self._line(f"… sub-agents wait for money: {_shortage(data)}", style="yellow")
        self._advise(event)

    def _advise(self, event: "ClientEvent") -> None:
        """Say how money is given to who waits for it, unless others only hold it for now."""
        data = event.data
        waits = event.kind == "turn.waiting" and data.get("reason") == "budget"
        if waits and data.get("kind") != "contended":
            account, unit = str(data.get("account", "")), str(data.get("unit", ""))
            words = raise_words(account, self._workspace, unit=unit)
            self._line(f"  to give more: {words}", style="yellow")

    def end(self) -> None:
        """Finish the line that the text is in, and take the one about sub-agents away."""
        self._unstick()
        if self._mid_line:
            self._out.print()
        self._mid_line = False

    def note(self, text: str) -> None:
        self._line(text)

    def _stick(self, text: str) -> None:
        """Show a line that the next one takes the place of."""
        line = Text(text, style="dim cyan")
        line.truncate(max(1, self._out.width - 1), overflow="ellipsis")
        self._out.print(line, end="")
        self._sticks = True

    def _unstick(self) -> None:
        if self._sticks:
            self._out.control(_ERASE)
        self._sticks = False

    def _text(self, text: str) -> None:
        self._out.print(clean(text), end="", markup=False, soft_wrap=True)
        if text:
            self._mid_line = not text.endswith("\n")

    def _line(self, text: str, *, style: str = "dim") -> None:
        self.end()
        self._out.print(clean(text), style=style, markup=False, no_wrap=True, overflow="ellipsis")

    def _note_worker(self, worker: str) -> None:
        if worker and worker not in self.workers:
            self.workers.append(worker)


def _short(value: Any) -> str:
    """One line of something, whole words not guaranteed."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return " ".join(text.split())[:200]


def _notice(event: "ClientEvent") -> str:
    data = event.data
    if event.kind == "turn.waiting" and data.get("reason") == "budget":
        return f"waiting for money: {_shortage(data)}"
    if event.kind == "turn.waiting" and data.get("reason") == "children":
        return "waiting for sub-agents; no worker is held meanwhile"
    if event.kind == "turn.waiting" and data.get("reason") == "approval":
        return "waiting for an answer; no worker is held meanwhile"
    reason = data.get("detail") or data.get("reason") or data.get("account") or ""
    what = {
        "turn.waiting": "waiting",
        "step.abandoned": "this answer does not count, it comes again",
        "budget.warning": "the budget is nearly used up",
        "budget.exhausted": "the budget is used up",
        "budget.overrun": "more was spent than the budget allows, it is frozen",
        "budget.raised": "the budget was raised",
    }[event.kind]
    return f"{what}: {reason}" if reason else what


def _shortage(data: dict[str, Any]) -> str:
    """What an account has, and what the turn would need of it."""
    if data.get("unit") == "tokens":
        left, needed = (
            f"{data.get(f'{name}_tokens')} tokens" for name in ("available", "requested")
        )
    else:
        left, needed = (usd(int(data[f"{name}_microusd"])) for name in ("available", "requested"))
    held = ", others hold the rest" if data.get("kind") == "contended" else ""
    return f"{data.get('account')} has {left} left{held}; the next call needs up to {needed}"


def follow(client: "Client", stream: "TurnStream", view: LiveView) -> "TurnResult":
    """Show a turn to its end. Ctrl-C cancels the turn; a second one stops looking."""
    try:
        for event in stream:
            view.show(event)
    except KeyboardInterrupt:
        if not stream.turn:
            raise
        view.note("cancelling; Ctrl-C again leaves it alone")
        client.cancel_turn(stream.turn)
        stream = client.turn_events(stream.turn, after=stream.cursor)
        for event in stream:
            view.show(event)
    view.end()
    return stream.result()


def print_event(event: "ClientEvent") -> None:
    """Print an event as one line of JSON: its data, with ``id`` and ``kind``."""
    print_json({"id": event.id, "kind": event.kind, **event.data})


def costs_line(result: "TurnResult", session: "SessionView", account: "AccountView") -> str:
    """What a turn took, as rich markup."""
    used = account.posted_microusd + account.pending_microusd
    limit = account.limit_microusd
    budget = (
        f"{usd(used)} spent"
        if limit is None
        else f"{usd(used)} of {usd(limit)} {bar(used, limit, account.warn_percent)}"
    )
    parts = [
        _count(session.turn_count, "turn"),
        _count(result.steps, "step"),
        _count(result.tool_calls, "tool call"),
        f"{tokens(result.input_tokens + result.output_tokens)} tokens",
        usd(result.cost_microusd),
        budget,
    ]
    return " · ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def report_failure(result: "TurnResult") -> None:
    """Say on stderr why a turn did not succeed."""
    what = "failed" if result.state == "failed" else f"was {result.state}"
    code = "" if result.code == result.state else result.code
    reasons = [part for part in (code, clean(result.reason)) if part]
    print(": ".join([f"bursar: the turn {what}", *reasons]), file=sys.stderr)
