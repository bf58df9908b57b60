"""``bursar sessions``: look at sessions, and end what should end."""

from typing import Annotated

import typer

from bursar.cli import copies
from bursar.cli.options import AsJson, Workspace, connect
from bursar.cli.output import ago, clean, console, print_fields, print_json, print_table, tokens
from bursar.errors import Conflict

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="List, show, end, delete or cancel sessions; fork, export, import."
)
app.command()(copies.fork)
app.command()(copies.export)
app.command("import")(copies.import_)

SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]


@app.command("list")
def list_sessions(
    ctx: typer.Context,
    workspace: Workspace = "default",
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state, such as running.")] = None,
    path: Annotated[str | None, typer.Option(help="Only with this workspace path.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those of sub-agents, below others.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List sessions by activity, newest first; `bursar tree` shows what is below one.

    Example: bursar sessions list --state running --json
    """
    with connect(ctx, workspace) as client:
        page = client.list_sessions(
            user=user, state=state, workspace_path=path, roots=not everything, limit=limit
        )
    if as_json:
        print_json(page.sessions)
        return
    rows = [
        [
            session.id,
            session.agent,
            session.user,
            session.state,
            str(session.turn_count),
            tokens(session.token_count),
            ago(session.active_ms),
            clean(session.title),
        ]
        for session in page.sessions
    ]
    columns = ["session", "agent", "user", "state", "turns>", "context>", "active", "title"]
    print_table(columns, rows, empty=f"no such sessions in workspace {workspace}")
    if page.cursor:
        console(stderr=True).print("there are more; raise --limit or filter", style="dim")


@app.command()
def show(
    ctx: typer.Context,
    session: SessionId,
    workspace: Workspace = "default",
    as_json: AsJson = False,
) -> None:
    """Show one session."""
    with connect(ctx, workspace) as client:
        view = client.get_session(session)
    if as_json:
        print_json(view)
        return
    print_fields(
        {
            "session": view.id,
            "title": clean(view.title),
            "state": view.state + (" (ending)" if view.ending and view.state != "ended" else ""),
            "blocked": view.blocked,
            "agent": view.agent,
            "model": view.model,
            "user": view.user,
            "files": view.workspace_path,
            "tags": ", ".join(view.tags),
            "parent": view.parent,
            "forked from": view.forked_from
            + (f", up to message {view.forked_at}" if view.forked_at is not None else ""),
            "imported": view.imported_from,
            "created": ago(view.created_ms),
            "active": ago(view.active_ms),
            "turns": f"{view.turn_count} turns, {view.step_count} steps, "
            f"{view.tool_call_count} tool calls, {view.message_count} messages",
            "context": f"{tokens(view.token_count)} tokens"
            + _begins(view.context_start, summarised=view.summarised),
            "turn now": view.turn,
            "worker": view.worker,
        }
    )


def _begins(context_start: int, *, summarised: bool) -> str:
    if not context_start:
        return ""
    return (
        f", {'with a summary of' if summarised else 'without'} the first {context_start} messages"
    )


@app.command()
def messages(
    ctx: typer.Context,
    session: SessionId,
    workspace: Workspace = "default",
    last: Annotated[int, typer.Option(min=1, max=1000, help="So many of the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print the newest messages of a session, oldest of them first."""
    from bursar.messages import AssistantMessage, ToolMessage

    with connect(ctx, workspace) as client:
        found = client.list_messages(session, last=last)
    if as_json:
        print_json(found)
        return
    for message in found:
        if isinstance(message, ToolMessage):
            mark = "unknown" if message.unknown else "failed" if message.is_error else "result"
            _say(f"tool {message.name} {mark}", message.output[:500], style="dim")
            continue
        calls = message.tool_calls if isinstance(message, AssistantMessage) else ()
        lines = [message.text, *(f"→ {call.name} {call.arguments[:200]}" for call in calls)]
        role = "assistant" if isinstance(message, AssistantMessage) else "user"
        _say(role, "\n".join(line for line in lines if line), style="")


def _say(who: str, text: str, *, style: str) -> None:
    out = console()
    out.print(who, style="bold dim" if style else "bold")
    out.print(clean(text), style=style, markup=False, soft_wrap=True)


@app.command()
def end(
    ctx: typer.Context,
    session: SessionId,
    workspace: Workspace = "default",
    force: Annotated[
        bool, typer.Option("--force", help="Cancel what runs and waits instead of finishing it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """End a session: it takes no more inputs, and those accepted before are worked off."""
    with connect(ctx, workspace) as client:
        view = client.end_session(session, force=force)
    if as_json:
        print_json(view)
    else:
        console().print(f"{view.id} is {'ending' if view.state != 'ended' else 'ended'}")


@app.command()
def delete(ctx: typer.Context, session: SessionId, workspace: Workspace = "default") -> None:
    """Delete a session that is idle or ended, with its messages. Its ledger entries stay."""
    with connect(ctx, workspace) as client:
        client.delete_session(session)
    console().print(f"{session} is deleted")


@app.command()
def cancel(
    ctx: typer.Context,
    session: SessionId,
    workspace: Workspace = "default",
    reason: Annotated[str | None, typer.Option(help="Why; stands in the turn.")] = None,
    as_json: AsJson = False,
) -> None:
    """Cancel the turn that a session is working on; the session lives on."""
    with connect(ctx, workspace) as client:
        running = client.get_session(session).turn
        if not running:
            raise Conflict(f"no turn runs in {session}", code="no_turn")
        turn = client.cancel_turn(running, reason=reason)
    if as_json:
        print_json(turn)
    else:
        console().print(f"{turn.id} is {turn.state if turn.ended else 'being cancelled'}")
