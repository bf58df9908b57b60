"""A question about a call, as a person sees it who is to decide."""

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.text import Text

from bursar.cli.arguments import (
    ALL,
    FOLDED,
    Folding,
    argument_lines,
    barred,
    folded_lines,
    hides_something,
)
from bursar.cli.changes import change_lines, change_of, files_root, text_now
from bursar.cli.output import ago, ahead
from bursar.client import ApprovalView, Client
from bursar.errors import BursarError
from bursar.gate.display import MAX_NAME, MAX_RESOURCE, readable
from bursar.money import usd

__all__ = ["Background", "ended_as", "one_line", "print_question", "short_hash", "what"]

_LABEL = 13
_MANY = Folding(lines=400, chars=0)
"""Of many arguments, each of which is folded by itself."""
_RISKS = {"low": "green", "medium": "yellow", "high": "red", "critical": "bold white on red"}
_FALLBACKS = {
    "block": "it waits on, and stays answerable for a day",
    "skip": "the agent goes on without it",
    "safe_default": "the agent gets the value that the tool declares for that",
    "queue": "the agent goes on; approved later, the call runs and its result follows",
}
_WHY = {
    "timed_out": "nobody answered in time",
    "nobody_subscribed": "nobody was there to be asked",
    "unavailable": "somebody could not decide",
    "aged_out": "nobody answered for a long time",
}


class Background:
    """What a question does not say by itself: who asks whom, and the file as it is now."""

    def __init__(self, agents: Mapping[str, str], workspace_path: str, text: str | None) -> None:
        self.agents = agents
        self.workspace_path = workspace_path
        self.text = text

    @classmethod
    def look(cls, client: Client, view: ApprovalView) -> "Background":
        """Ask the gateway and the disk; what cannot be found out is left out."""
        agents, folder, text = {view.session: view.agent}, "", None
        root = files_root()
        try:
            if root is not None and "path" in view.arguments:
                folder = client.get_session(view.session).workspace_path
            for session in view.chain:
                if session not in agents:
                    agents[session] = client.get_session(session).agent
            if root is not None and change_of(view, None) is not None:
                text = text_now(view, root, folder)
        except BursarError:
            return cls(agents, folder, None)  # the question says enough to be decided
        return cls(agents, folder, text)


def print_question(
    view: ApprovalView, background: Background, out: Console, *, full: bool = False
) -> None:
    """Print all that there is to decide about; with ``full`` nothing of it is folded."""
    out.print(_head(view))
    for name, value in _facts(view, background).items():
        if value:
            for line in _fact(name, value, out):
                out.print(line)
    folding = ALL if full else FOLDED
    change = change_of(view, background.text)
    lines = change_lines(change, folding) if change else []
    rest = argument_lines(view.arguments, folding, without=change.shown if change else ())
    for line in barred(lines + folded_lines(rest, ALL if full else _MANY), out):
        out.print(line)
    if hides_something(view.arguments):
        warning = "! characters that are invisible or steer a terminal are written as \\u…"
        out.print(Text(warning, style="yellow"))


def one_line(view: ApprovalView) -> str:
    """What a question is about, in one line of limited length; plain text."""
    return f"{readable(view.agent, MAX_NAME)} wants {what(view)}"


def ended_as(view: ApprovalView) -> str:
    """What became of a question, in words; for an open one what it waits for."""
    by = readable(view.answered_by, MAX_NAME)
    when = f", {ago(view.answered_ms)}" if view.answered_ms else ""
    note = f": {readable(view.note, MAX_NAME)}" if view.note else ""
    why = _WHY.get(view.why) or readable(view.why, MAX_NAME)
    match view.state:
        case "approved" | "consumed":
            edited = " with other arguments" if view.edited else ""
            run = "; the call has run" if view.state == "consumed" else ""
            return f"approved ({view.scope or 'once'}){edited} by {by}{when}{note}{run}"
        case "denied":
            return f"denied by {by}{when}{note}"
        case "deferred":
            return f"deferred: {why}; it can still be answered"
        case "pending":
            return f"open, to be answered {ahead(view.deadline_ms)}"
        case "expired":
            return f"not answered: {why or 'nobody answered in time'}"
        case "granted":
            return f"settled without an answer: {why}"
        case state:
            return f"{state}: {why}" if why else state


def short_hash(view: ApprovalView) -> str:
    return view.arguments_sha256[:12]


def _head(view: ApprovalView) -> Text:
    head = Text(f"{view.id}  ", style="bold")
    head.append(f" {view.risk} risk ", style=_RISKS.get(view.risk, ""))
    head.append(f"  {one_line(view)}", style="bold")
    return head


def what(view: ApprovalView) -> str:
    """Tool and action of a call, in one line of limited length; plain text."""
    tool = view.tool if view.server == "local" else f"{view.server}/{view.tool}"
    action = "" if view.action.startswith("tool://") else f" {view.action}"
    return readable(f"{tool}{action}", MAX_NAME)


def _facts(view: ApprovalView, background: Background) -> dict[str, str]:
    outside = "\n".join(
        f"{place.operation or 'use of'} {readable(place.path, MAX_RESOURCE)}"
        for place in view.outside
    )
    asked = ago(view.created_ms)
    if view.asked_again:
        asked += f", and {view.asked_again} times more since"
    return {
        "state": "" if view.state == "pending" else ended_as(view),
        "asked": asked,
        "answer": _deadline(view),
        "because": readable(view.reason, MAX_RESOURCE),
        "tool": readable(f"{view.tool} of {view.server}, {view.effect}", MAX_NAME),
        "action": readable(view.action, MAX_RESOURCE),
        "folder": readable(view.folder, MAX_RESOURCE),
        "outside": outside,
        "costs": usd(view.cost_microusd) if view.cost_microusd else "",
        "session": f"{view.session} of {readable(view.user, MAX_NAME)}, {view.workspace}",
        "chain": _chain(view, background) if len(view.chain) > 1 else "",
        "was told": readable(view.asked_of, MAX_RESOURCE, lines=True),
        "arguments": f"sha256 {view.arguments_sha256}",
    }


def _deadline(view: ApprovalView) -> str:
    if view.state != "pending":
        return ""
    then = _FALLBACKS.get(view.fallback, view.fallback)
    return f"{ahead(view.deadline_ms)} at the latest; else {then}"


def _chain(view: ApprovalView, background: Background) -> str:
    return " → ".join(
        f"{readable(background.agents.get(session, ''), MAX_NAME)} {session}".strip()
        for session in view.chain
    )


def _fact(name: str, value: str, out: Console) -> Iterator[Text]:
    width = max(20, out.width - _LABEL - 2)
    lines = [
        piece
        for line in value.split("\n")
        for piece in Text(line).wrap(out, width, overflow="fold", tab_size=4) or [Text()]
    ]
    for index, line in enumerate(lines):
        label = name if index == 0 else ""
        yield Text(f"  {label:<{_LABEL}}", style="dim") + line
