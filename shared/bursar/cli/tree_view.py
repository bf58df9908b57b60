"""Session trees on a terminal: as they were read, and as events tell of them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bursar.cli.output import bar, clean, make_table
from bursar.money import usd

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bursar.client import ClientEvent, TreeNode, TreeView

__all__ = ["TreeProgress", "tree_lines", "tree_picture"]

_ENDED = {"succeeded", "failed", "cancelled", "quarantined"}
_COLOURS = {
    "running": "green",
    "waiting": "yellow",
    "failed": "red",
    "quarantined": "red",
    "cancelled": "red",
    "queued": "cyan",
}
_OTHER_LINES = 2
"""The table's head, and how many find no place."""


@dataclass
class _Child:
    """A sub-agent as events have told of it."""

    state: str = "queued"
    why: str = ""
    cost_microusd: int = 0


@dataclass
class TreeProgress:
    """Sub-agents below a session, from the events of its stream with ``tree``.

    Args:
        session: the one that is streamed; its own events tell only whom it has spawned.

    """

    session: str
    children: dict[str, _Child] = field(default_factory=dict)
    _names: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Agent and task of each, which the session above tells."""
    _open: int = 0

    def take(self, event: "ClientEvent") -> str | None:
        """Take an event in; returns a line about a sub-agent that has ended now."""
        data = event.data
        if event.kind == "child.spawned":
            told = (str(data.get("agent", "")), str(data.get("description", "")))
            self._names[str(data.get("child", ""))] = told
        if not self.is_below(event):
            return None
        # Only who is heard of counts: what a turn does not wait for is not in its stream.
        if event.session not in self.children:
            self.children[event.session] = _Child()
            self._open += 1
        child = self.children[event.session]
        if event.kind == "usage":
            child.cost_microusd += int(data.get("cost_microusd", 0))
        state = event.kind.removeprefix("turn.")
        if state == event.kind or child.state in _ENDED:
            return None
        child.state = {"started": "running", "resumed": "running"}.get(state, state)
        child.why = str(data.get("reason", "")) if state == "waiting" else ""
        if child.state not in _ENDED:
            return None
        self._open -= 1
        return self._end_line(event, child)

    def is_below(self, event: "ClientEvent") -> bool:
        """Whether an event is of a sub-agent."""
        return bool(event.session) and event.session != self.session

    @property
    def is_open(self) -> bool:
        """Whether a sub-agent has not ended."""
        return self._open > 0

    @property
    def wants_money(self) -> bool:
        """Whether a sub-agent waits for money."""
        return any(child.why == "budget" for child in self.children.values())

    @property
    def cost_microusd(self) -> int:
        """What the models of the sub-agents were paid so far."""
        return sum(child.cost_microusd for child in self.children.values())

    def line(self) -> str:
        """How they stand, as plain text."""
        counts = Counter(child.state for child in self.children.values())
        ended = sum(counts[state] for state in _ENDED)
        alive = ("running", "waiting", "queued")
        told = [f"{counts[state]} {state}" for state in alive if counts[state]]
        told.append(f"{ended} of {len(self.children)} done")
        bad = ("failed", "cancelled", "quarantined")
        told += [f"{counts[state]} {state}" for state in bad if counts[state]]
        why = Counter(child.why for child in self.children.values() if child.why)
        reasons = ", ".join(f"{count} for {clean(reason)}" for reason, count in why.items())
        waits = f" ({reasons})" if reasons else ""
        return f"⋔ sub-agents: {' · '.join(told)}{waits} · {usd(self.cost_microusd)}"

    def _end_line(self, event: "ClientEvent", child: _Child) -> str:
        agent, title = self._names.get(event.session, ("", ""))
        name = " ".join(title.split()) or event.session.rpartition("~")[2]
        who = f"{name} ({agent})" if agent else name
        if child.state == "succeeded":
            return f"⋔ {who} is done, {usd(child.cost_microusd)}"
        code = str(event.data.get("code") or "")
        why = f": {code}" if code and code != child.state else ""
        return f"⋔ {who}: {child.state}{why}, {usd(child.cost_microusd)}"


def tree_picture(view: "TreeView", *, height: int) -> "RenderableType":
    """A tree under a line of totals, in so many lines; what has ended gives way first."""
    from rich.console import Group
    from rich.markup import escape
    from rich.text import Text

    heading = _heading(view)
    rows, hidden = _chosen(view, max(3, height - len(heading) - _OTHER_LINES))
    columns = ["session", "agent", "state", "spent>", "steps>", "time>", "task"]
    cells = [
        [
            escape("  " * depth + _name(node, view)),
            escape(clean(node.agent)),
            _state(node),
            _spent(node),
            str(node.steps),
            _span(node.duration_ms),
            escape(" ".join(clean(node.title).split())[:60]),
        ]
        for depth, node in rows
    ]
    parts: list[RenderableType] = [Text.from_markup(line) for line in heading]
    parts.append(make_table(columns, cells, empty=""))
    if hidden:
        parts.append(Text(f"… and {hidden} more", style="dim"))
    return Group(*parts)


def tree_lines(view: "TreeView") -> str:
    """The totals on one line, for a pipe."""
    from rich.text import Text

    return " · ".join(Text.from_markup(line).plain for line in _heading(view))


def _heading(view: "TreeView") -> list[str]:
    purse = view.purse
    used = purse.posted_microusd + purse.pending_microusd
    money = f"{usd(used)} spent"
    if purse.limit_microusd is not None:
        money = f"{usd(used)} of {usd(purse.limit_microusd)} {bar(used, purse.limit_microusd, 80)}"
    held = f", {usd(purse.pending_microusd)} of it held" if purse.pending_microusd else ""
    lines = [money + held]
    totals = view.totals
    if totals is not None and totals.sessions > 1:
        below = totals.sessions - 1
        ended = min(below, totals.states.get("ended", 0))
        states = " · ".join(f"{count} {state}" for state, count in totals.states.items())
        done = bar(ended, below, 101, colour="green" if ended < below else "blue")
        lines.append(
            f"{ended} of {below} sub-agents ended {done} · {states} · {totals.steps} steps"
        )
    dry = sum(node.turn_state == "waiting" and node.waiting_for == "budget" for node in view.nodes)
    if dry:
        verb = "waits" if dry == 1 else "wait"
        lines.append(f"[yellow]{dry} {verb} for money; see `bursar budget questions`[/]")
    return lines


def _chosen(view: "TreeView", room: int) -> tuple[list[tuple[int, "TreeNode"]], int]:
    """Nodes below their parents, with how deep they stand; and how many find no place."""
    ordered = _in_order(view)
    if len(ordered) > room:
        # Those that are alive first; sorting keeps the order among them.
        kept = {
            id(node)
            for _, node in sorted(ordered, key=lambda pair: pair[1].state == "ended")[:room]
        }
        ordered = [pair for pair in ordered if id(pair[1]) in kept]
    total = view.totals.sessions if view.totals is not None else len(view.nodes)
    return ordered, max(total, len(view.nodes)) - len(ordered)


def _in_order(view: "TreeView") -> list[tuple[int, "TreeNode"]]:
    below: dict[str, list[TreeNode]] = {}
    known = {node.id for node in view.nodes}
    for node in view.nodes:
        below.setdefault(node.parent if node.parent in known else "", []).append(node)
    found: list[tuple[int, TreeNode]] = []
    stack = [(0, node) for node in reversed(below.get("", []))]
    while stack:
        depth, node = stack.pop()
        found.append((depth, node))
        stack += [(depth + 1, child) for child in reversed(below.get(node.id, []))]
    return found


def _name(node: "TreeNode", view: "TreeView") -> str:
    """Ids below the root differ only in their last part."""
    return node.id if node is view.nodes[0] else node.id.rpartition("~")[2]


def _state(node: "TreeNode") -> str:
    from rich.markup import escape

    state = node.turn_state or node.state
    why = node.waiting_for if state == "waiting" else node.code if node.code != state else ""
    told = escape(clean(f"{state}: {why}" if why else state))
    colour = _COLOURS.get(state)
    return f"[{colour}]{told}[/]" if colour else told


def _spent(node: "TreeNode") -> str:
    purse = node.purse
    used = purse.posted_microusd + purse.pending_microusd
    limit = purse.limit_microusd
    return usd(used) if limit is None else f"{usd(used)} of {usd(limit)}"


def _span(ms: int) -> str:
    seconds = ms // 1000
    return f"{seconds // 60}:{seconds % 60:02}" if seconds >= 60 else f"{ms / 1000:.1f} s"
