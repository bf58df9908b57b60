"""``bursar budget``: what was spent, and what may be."""

from typing import Annotated

import typer

from bursar.cli.options import AsJson, Workspace, connect, microusd_of
from bursar.cli.output import budget_cells, print_json, print_table
from bursar.errors import InvalidInput

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Show and change budgets.")

Session = Annotated[str | None, typer.Option("--session", "-s", help="A session's budget.")]
User = Annotated[str | None, typer.Option("--user", "-u", help="A user's budget.")]

_COLUMNS = ["account", "spent>", "held>", "limit>", "left>", "used"]


@app.command()
def show(
    ctx: typer.Context,
    workspace: Workspace = "default",
    session: Session = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Show the budget of the workspace, of a user, or all that a session spends from.

    Example: bursar budget show --session ses_06e0v3k
    """
    _only_one(session, user)
    with connect(ctx, workspace) as client:
        if session:
            accounts = client.get_session_budget(session).path
        else:
            accounts = [client.get_budget(user=user)]
    if as_json:
        print_json(accounts)
    else:
        print_table(_COLUMNS, [budget_cells(account) for account in accounts], empty="")


@app.command("set")
def set_limit(
    ctx: typer.Context,
    limit: Annotated[
        str | None, typer.Argument(help="Dollars, such as 2.50, or 'unlimited'.")
    ] = None,
    workspace: Workspace = "default",
    session: Session = None,
    user: User = None,
    per_action_usd: Annotated[
        str | None, typer.Option(help="What one action may cost; for sessions only.")
    ] = None,
    warn_percent: Annotated[
        int | None, typer.Option(min=0, max=100, help="Warn when so much of the limit is used.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change limits; what is not given stays. Turns that wait for a raised budget go on.

    Example: bursar budget set 5 --session ses_06e0v3k
    """
    from bursar.client import LimitChange

    _only_one(session, user)
    given = {
        "per_action_microusd": microusd_of(per_action_usd, "--per-action-usd"),
        "warn_percent": warn_percent,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if limit == "unlimited":
        change = LimitChange(limit_microusd=None, **changes)
    elif limit is not None:
        change = LimitChange(limit_microusd=microusd_of(limit, "LIMIT"), **changes)
    elif changes:
        change = LimitChange(**changes)
    else:
        raise InvalidInput("nothing to change; give a limit or an option", field="LIMIT")
    with connect(ctx, workspace) as client:
        if session:
            account = client.set_session_budget(session, change)
        else:
            account = client.set_budget(change, user=user)
    if as_json:
        print_json(account)
    else:
        print_table(_COLUMNS, [budget_cells(account)], empty="")


def _only_one(session: str | None, user: str | None) -> None:
    if session and user:
        raise InvalidInput("give --session or --user, not both", field="--session")
