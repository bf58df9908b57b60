"""``bursar approvals``: questions of agents to people; answering needs an approver's key."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bursar.cli.options import AsJson, Workspace, connect, seconds_of
from bursar.cli.output import ago, ahead, console, fitting_table, print_json
from bursar.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bursar.client import ApprovalView, Client

__all__ = ["app"]

EXIT_UNANSWERED, EXIT_TOO_LATE = 1, 4

app = typer.Typer(
    no_args_is_help=True, help="See what agents ask before they act, and answer (approvers)."
)

Session = Annotated[
    str | None, typer.Option("--session", "-s", help="Only questions of this session.")
]
Tree = Annotated[
    str | None, typer.Option("--tree", help="Only of this session's tree: it, and all below it.")
]
Full = Annotated[bool, typer.Option("--full", help="Fold nothing, however long it is.")]


@app.command("list")
def list_approvals(
    ctx: typer.Context,
    workspace: Workspace = "default",
    session: Session = None,
    tree: Tree = None,
    as_json: AsJson = False,
) -> None:
    """List the open questions, the most urgent first."""
    _only_one(session, tree)
    with connect(ctx, workspace) as client:
        if tree is not None:
            found = client.list_session_approvals(tree)
        else:
            found = client.list_approvals(session=session)
    if as_json:
        print_json(found)
    else:
        console().print(_table(found))


@app.command()
def show(
    ctx: typer.Context,
    approval: Annotated[str, typer.Argument(metavar="ID", help="The question's id.")],
    workspace: Workspace = "default",
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Show a question with the whole call: who asks, why, and every argument.

    Changes of files are shown as a diff. Where BURSAR_FILES_ROOT names the folder of the sessions'
    files on this machine, it is one to the file as it is now.
    """
    with connect(ctx, workspace) as client:
        view = client.get_approval(approval)
        if as_json:
            print_json(view)
        else:
            _print(client, view, full=full)


@app.command()
def answer(
    ctx: typer.Context,
    approval: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="The question; the open one, if there is just one."),
    ] = None,
    workspace: Workspace = "default",
    approve: Annotated[bool, typer.Option("--approve", help="Let the call run.")] = False,
    deny: Annotated[bool, typer.Option("--deny", help="Do not; the agent is told.")] = False,
    defer: Annotated[
        bool, typer.Option("--defer", help="Nobody can decide now: what its deadline would bring.")
    ] = False,
    scope: Annotated[
        Literal["once", "session", "tree", "workspace", "always"] | None,
        typer.Option(
            help="Approve such calls from now on, too; always is for 30 days.", show_default="once"
        ),
    ] = None,
    allow: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Approve all that matches from now on, instead."),
    ] = None,
    uses: Annotated[int | None, typer.Option(min=1, help="So many calls; with --allow.")] = None,
    span: Annotated[
        str | None, typer.Option("--for", help="For so long: 10min, 8h, 30d; with --allow.")
    ] = None,
    arguments: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE", help="Run the call with these instead.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="For the agent and the audit log.")] = None,
    seen: Annotated[
        str | None,
        typer.Option("--hash", help="Answer only if the arguments are those with this SHA-256."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is meant.")] = (
        False
    ),
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Answer a question. It is shown first; at a terminal you are asked, or asked to confirm.

    Exit status: 0 answered, 1 left open, 2 wrong usage or refused, 3 the gateway cannot be reached,
    4 somebody else was faster, or the question is closed.

    Examples: bursar approvals answer apr_06h18v --deny --reason "not on a Friday"
    bursar approvals answer --approve --scope workspace
    bursar approvals answer apr_06h18v --approve --allow "file+write://**" --uses 20 --for 8h
    """
    from bursar.cli import answering

    said = answering.Said(
        decision=_decision(approve=approve, deny=deny, defer=defer),
        scope=scope,
        allow=allow,
        uses=uses,
        expires_in_s=seconds_of(span, "--for"),
        arguments=_file_or_text(arguments),
        reason=reason,
    )
    said.check()
    with connect(ctx, workspace) as client:
        view = answering.find(client, approval)
        status = answering.answer(
            client, view, said, seen=seen, yes=yes, full=full, as_json=as_json
        )
    raise typer.Exit(status)


@app.command()
def watch(
    ctx: typer.Context,
    workspace: Workspace = "default",
    tree: Tree = None,
    as_json: AsJson = False,
) -> None:
    """Wait for questions and answer them where they appear, one after the other, until Ctrl-C.

    Without a terminal it prints a line for each, and one for what became of it; with --json each
    change is the whole question as one line of JSON.
    """
    from bursar.cli import answering

    with connect(ctx, workspace) as client:
        root = (client.get_session(tree).root or tree) if tree is not None else ""
        answering.watch(client, root=root, as_json=as_json)


def _only_one(session: str | None, tree: str | None) -> None:
    if session is not None and tree is not None:
        raise InvalidInput("give --session or --tree, not both", field="--session")


def _decision(*, approve: bool, deny: bool, defer: bool) -> str | None:
    given = [
        name
        for name, is_given in (("approve", approve), ("deny", deny), ("defer", defer))
        if is_given
    ]
    if len(given) > 1:
        raise InvalidInput(f"give it or --{given[1]}, not both", field=f"--{given[0]}")
    return given[0] if given else None


def _file_or_text(arguments: str | None) -> str | None:
    if arguments is None or not arguments.startswith("@"):
        return arguments
    try:
        return sys.stdin.read() if arguments == "@-" else Path(arguments[1:]).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{arguments[1:]} cannot be read: {error}", field="--arguments"
        ) from None


def _print(client: "Client", view: "ApprovalView", *, full: bool) -> None:
    from bursar.cli.question import Background, print_question

    print_question(view, Background.look(client, view), console(), full=full)


def _table(found: "list[ApprovalView]") -> "RenderableType":
    from rich.markup import escape
    from rich.text import Text

    from bursar.cli.question import what
    from bursar.gate.display import MAX_NAME, readable

    if not found:
        return Text("no question is open", style="dim")
    rows = [
        [
            view.id,
            view.priority,
            ago(view.created_ms),
            ahead(view.deadline_ms) if view.state == "pending" else "deferred",
            view.session,
            escape(readable(view.tool, MAX_NAME)),
            escape(what(view)),
        ]
        for view in found
    ]
    columns = ["question", "urgency", "asked", "to be answered", "session", "tool", "what"]
    return fitting_table(columns, rows)
