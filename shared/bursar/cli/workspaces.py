"""``bursar workspaces``: the tenants; changing them needs an administrator's key."""

from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.accounts import limit_words, used_bar
from bursar.cli.options import AsJson, connect, microusd_of
from bursar.cli.output import ago, print_json, print_table
from bursar.money import usd

if TYPE_CHECKING:
    from bursar.client import WorkspaceView

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="List, create, pause, resume, kill and revive workspaces."
)

WorkspaceId = Annotated[str, typer.Argument(metavar="WORKSPACE", help="The workspace's id.")]
_COLUMNS = [
    "workspace",
    "state",
    "running max>",
    "sessions max>",
    "queued max>",
    "spent>",
    "limit>",
    "used",
    "created",
]


@app.command("list")
def list_workspaces(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the workspaces that the key may see."""
    with connect(ctx) as client:
        found = client.list_workspaces()
    if as_json:
        print_json(found)
        return
    rows = []
    for view in found:
        budget = view.budget
        spent, limit = usd(budget.posted_microusd), limit_words(budget.limit_microusd)
        caps = [_cap(view.max_running), _cap(view.max_sessions), _cap(view.max_queued)]
        rows.append(
            [view.id, _state(view), *caps, spent, limit, used_bar(budget), ago(view.created_ms)]
        )
    print_table(_COLUMNS, rows, empty="no workspaces")


@app.command()
def create(
    ctx: typer.Context,
    workspace: WorkspaceId,
    limit_usd: Annotated[
        str | None, typer.Option(help="Its budget in dollars; unlimited if not given.")
    ] = None,
    max_running: Annotated[
        int | None, typer.Option(min=1, help="Sessions that may run at once; more wait.")
    ] = None,
    max_sessions: Annotated[
        int | None, typer.Option(min=1, help="Live sessions; one more is refused.")
    ] = None,
    max_queued: Annotated[
        int | None, typer.Option(min=1, help="Turns that may wait to start; one more is refused.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a workspace.

    Example: bursar workspaces create acme --limit-usd 50
    """
    with connect(ctx) as client:
        view = client.create_workspace(
            workspace,
            limit_microusd=microusd_of(limit_usd, "--limit-usd"),
            max_running=max_running,
            max_sessions=max_sessions,
            max_queued=max_queued,
        )
    if as_json:
        print_json(view)
    else:
        print(f"workspace {view.id} is open")


@app.command()
def pause(ctx: typer.Context, workspace: WorkspaceId, as_json: AsJson = False) -> None:
    """Accept inputs but start nothing; running turns go on."""
    _set_paused(ctx, workspace, paused=True, as_json=as_json)


@app.command()
def resume(ctx: typer.Context, workspace: WorkspaceId, as_json: AsJson = False) -> None:
    """End a pause; what waited runs within a second."""
    _set_paused(ctx, workspace, paused=False, as_json=as_json)


@app.command()
def kill(
    ctx: typer.Context,
    workspace: WorkspaceId,
    reason: Annotated[str | None, typer.Option(help="Why; stands in each cancelled turn.")] = None,
    as_json: AsJson = False,
) -> None:
    """Stop everything in a workspace now: cancel all open turns, take no inputs.

    Example: bursar workspaces kill acme --reason "runaway agent"
    """
    with connect(ctx, workspace) as client:
        view = client.kill_workspace(reason=reason)
    _say(view, as_json=as_json)


@app.command()
def revive(ctx: typer.Context, workspace: WorkspaceId, as_json: AsJson = False) -> None:
    """Let a workspace that was killed take inputs again; a pause from before is over, too."""
    with connect(ctx, workspace) as client:
        view = client.revive_workspace()
    _say(view, as_json=as_json)


def _set_paused(ctx: typer.Context, workspace: str, *, paused: bool, as_json: bool) -> None:
    with connect(ctx, workspace) as client:
        view = client.update_workspace({"paused": paused})
    _say(view, as_json=as_json)


def _say(view: "WorkspaceView", *, as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        print(f"workspace {view.id} is {_state(view)}")


def _state(view: "WorkspaceView") -> str:
    return "killed" if view.killed else "paused" if view.paused else "open"


def _cap(cap: int | None) -> str:
    return "" if cap is None else str(cap)
