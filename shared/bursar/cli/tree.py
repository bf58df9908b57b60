"""``bursar tree``: a session and all that works below it, live."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.options import AsJson, Workspace, connect
from bursar.cli.output import console, print_json

if TYPE_CHECKING:
    from bursar.cli.terminal import Mailbox
    from bursar.client import Client, TreeView

__all__ = ["tree"]

_LOOK_S = 5.0
_PAUSE_S = 0.3
_READ_SHARE = 5  # a tree whose reading takes long is read less often
_AT_REST = frozenset({"idle", "ended"})
_EVENTS = "events"


def tree(
    ctx: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")],
    workspace: Workspace = "default",
    once: Annotated[bool, typer.Option("--once", help="Show it as it is now, and leave.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Stay when the session has nothing to do.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a session and its sub-agents as they work: states, costs, what they wait for.

    It ends when the session itself has nothing to do any more. In a pipe it prints a line for each
    change, with --json the whole tree: at most 1,000 sessions, of larger ones those that are alive.

    Example: bursar tree ses_06e0v3k --once --json
    """
    with connect(ctx, workspace) as client:
        views = iter([_read(client, session)]) if once else _changes(client, session, follow=follow)
        if as_json:
            for view in views:
                print_json(view)
        else:
            _draw(views, whole=once)


def _draw(views: "Iterator[TreeView]", *, whole: bool) -> None:
    from rich.live import Live

    from bursar.cli.tree_view import tree_lines, tree_picture

    out = console()
    if whole:
        for view in views:
            out.print(tree_picture(view, height=len(view.nodes) + 10))
        return
    if not out.is_terminal:
        shown = ""
        for view in views:
            line = tree_lines(view)
            if line != shown:
                out.print(line, markup=False, soft_wrap=True)
            shown = line
        return
    with Live(console=out, auto_refresh=False) as live:
        for view in views:
            live.update(tree_picture(view, height=out.height - 1), refresh=True)


def _read(client: "Client", session: str) -> "TreeView":
    view = client.session_tree(session)
    return client.session_tree(session, live=True) if view.cursor else view


def _changes(client: "Client", session: str, *, follow: bool) -> "Iterator[TreeView]":
    """The tree as it is, and again when something has happened in it, until it is at rest."""
    from bursar.cli.terminal import Mailbox

    box: Mailbox | None = None
    over = False
    while True:
        started_s = time.monotonic()
        view = _read(client, session)
        yield view
        if over or (not follow and view.nodes[0].state in _AT_REST):
            return
        if box is None:
            # From the log's start, so nothing is missed; a tree at rest needs no stream at all.
            box = Mailbox()
            box.fill(_EVENTS, lambda: client.session_events(session, tree=True))
        took_s = time.monotonic() - started_s
        over = _news(box, pause_s=max(_PAUSE_S, took_s * _READ_SHARE))


def _news(box: "Mailbox", *, pause_s: float) -> bool:
    """Wait until something has happened, and a little for what else; whether the stream is over."""
    from bursar.cli.terminal import Failed

    item = box.next(timeout_s=_LOOK_S)
    until_s = time.monotonic() + pause_s
    while True:
        if isinstance(item, Failed):
            if item.error is not None:
                raise item.error
            return True
        left_s = until_s - time.monotonic()
        if left_s <= 0 and box.empty():
            return False
        item = box.next(timeout_s=max(0.0, left_s))
