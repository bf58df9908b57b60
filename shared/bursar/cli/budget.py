"""``bursar budget``: what was spent, and what may be. `bursar.cli.ledger` has its other half."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bursar.cli.accounts import accounts_table, questions_table
from bursar.cli.options import (
    AsJson,
    Workspace,
    connect,
    count_of,
    microusd_of,
    moment_ms_of,
)
from bursar.cli.output import console, print_json, watch
from bursar.errors import InvalidInput

if TYPE_CHECKING:
    from bursar.client import AccountView, Client

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Show, change and add up budgets.")

Session = Annotated[str | None, typer.Option("--session", "-s", help="A session's budget.")]
User = Annotated[str | None, typer.Option("--user", "-u", help="A user's budget.")]
Watch = Annotated[bool, typer.Option("--watch", help="Look again each second, until Ctrl-C.")]

_EVERY_S = 1.0


@app.command()
def show(
    ctx: typer.Context,
    workspace: Workspace = "default",
    session: Session = None,
    user: User = None,
    live: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Show the budget of the workspace, of a user, or all that a session spends from.

    Example: bursar budget show --session ses_06e0v3k --watch
    """
    _only_one(session, user)
    with connect(ctx, workspace) as client:
        if live:
            watch(
                lambda: _read(client, session, user),
                accounts_table,
                every_s=_EVERY_S,
                as_json=as_json,
            )
        accounts = _read(client, session, user)
    if as_json:
        print_json(accounts)
    else:
        console().print(accounts_table(accounts))


def _read(client: "Client", session: str | None, user: str | None) -> "list[AccountView]":
    if session:
        return client.get_session_budget(session).path
    return [client.get_budget(user=user)]


@app.command()
def questions(
    ctx: typer.Context, workspace: Workspace = "default", as_json: AsJson = False
) -> None:
    """List accounts that ran dry or are frozen, with the turns that wait for them.

    `bursar budget set` with more answers one, and so does `bursar budget deny`.
    """
    with connect(ctx, workspace) as client:
        found = client.list_budget_questions()
    if as_json:
        print_json(found)
    else:
        console().print(questions_table(found))


@app.command()
def deny(
    ctx: typer.Context,
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="ws, user:ID or s:SESSION, as listed.")
    ],
    workspace: Workspace = "default",
    reason: Annotated[str | None, typer.Option(help="Why; stands in each turn.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give no more money: the turns that wait for an account end with what they have.

    Example: bursar budget deny s:ses_06e0v3k --reason "good enough"
    """
    with connect(ctx, workspace) as client:
        denied = client.deny_budget(account, reason=reason)
    if as_json:
        print_json(denied)
    else:
        print(f"{denied.turns} turn{'' if denied.turns == 1 else 's'} of {account} end")


@app.command("set")
def set_limit(
    ctx: typer.Context,
    limit: Annotated[
        str | None, typer.Argument(help="Dollars, such as 2.50, or 'unlimited'.")
    ] = None,
    workspace: Workspace = "default",
    session: Session = None,
    user: User = None,
    token_limit: Annotated[str | None, typer.Option(help="So many tokens, or 'unlimited'.")] = None,
    per_action_usd: Annotated[
        str | None, typer.Option(help="What one action may cost; for sessions only.")
    ] = None,
    per_turn_usd: Annotated[
        str | None, typer.Option(help="What one turn may cost, or 'unlimited'; sessions only.")
    ] = None,
    warn_percent: Annotated[
        int | None, typer.Option(min=0, max=100, help="Warn when so much of the limit is used.")
    ] = None,
    acknowledge: Annotated[
        bool, typer.Option("--acknowledge", help="Let a frozen account pay again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Change limits; what is not given stays. Turns that wait for a raised budget go on.

    Example: bursar budget set 5 --session ses_06e0v3k
    """
    from bursar.client import LimitChange

    _only_one(session, user)
    changes: dict[str, Any] = {}
    for field, value, read, option in (
        ("limit_microusd", limit, microusd_of, "LIMIT"),
        ("token_limit", token_limit, count_of, "--token-limit"),
        ("per_turn_microusd", per_turn_usd, microusd_of, "--per-turn-usd"),
    ):
        if value is not None:
            changes[field] = None if value == "unlimited" else read(value, option)
    if per_action_usd is not None:
        changes["per_action_microusd"] = microusd_of(per_action_usd, "--per-action-usd")
    if warn_percent is not None:
        changes["warn_percent"] = warn_percent
    if not changes and not acknowledge:
        raise InvalidInput("nothing to change; give a limit or an option", field="LIMIT")
    change = LimitChange(acknowledge=acknowledge, **changes)
    with connect(ctx, workspace) as client:
        if session:
            account = client.set_session_budget(session, change)
        else:
            account = client.set_budget(change, user=user)
    _say(account, as_json=as_json)


@app.command()
def period(
    ctx: typer.Context,
    each: Annotated[
        Literal["day", "month", "none"],
        typer.Argument(metavar="PERIOD", help="day, month, or none for never."),
    ],
    workspace: Workspace = "default",
    session: Session = None,
    user: User = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="Whose midnight it is, such as Europe/Berlin.", show_default="UTC"),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option(
            help="The first time, such as 2026-12-01T06:00.", show_default="the next midnight"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let what was spent count from zero again each day or month.

    Example: bursar budget period month --user ann --time-zone Europe/Berlin
    """
    _only_one(session, user)
    resets_ms = moment_ms_of(first, "--first", time_zone=time_zone or "UTC")
    with connect(ctx, workspace) as client:
        if session:
            account = client.set_session_period(
                session, each, time_zone=time_zone, resets_ms=resets_ms
            )
        else:
            account = client.set_budget_period(
                each, time_zone=time_zone, resets_ms=resets_ms, user=user
            )
    _say(account, as_json=as_json)


@app.command()
def reset(
    ctx: typer.Context,
    workspace: Workspace = "default",
    session: Session = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Let what was spent count from zero again, now; what is held stays held.

    Example: bursar budget reset --user ann
    """
    _only_one(session, user)
    with connect(ctx, workspace) as client:
        account = (
            client.reset_session_budget(session) if session else client.reset_budget(user=user)
        )
    _say(account, as_json=as_json)


def _say(account: "AccountView", *, as_json: bool) -> None:
    if as_json:
        print_json(account)
    else:
        console().print(accounts_table([account]))


def _only_one(session: str | None, user: str | None) -> None:
    if session and user:
        raise InvalidInput("give --session or --user, not both", field="--session")
