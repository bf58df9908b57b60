"""``bursar run`` and ``bursar chat``: talk to an agent."""

import sys
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bursar.cli.options import AsJson, Workspace, connect, count_of, microusd_of
from bursar.cli.output import command, console
from bursar.errors import InvalidInput

if TYPE_CHECKING:
    from bursar.client import Client, SessionView, TurnResult

__all__ = ["chat", "run"]

Agent = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]
User = Annotated[str | None, typer.Option("--user", "-u", help="Whose session it is.")]
Session = Annotated[
    str | None, typer.Option("--session", "-s", help="Go on in this session of the agent.")
]
Path = Annotated[
    str | None, typer.Option(help="The session's folder below the workers' files root.")
]
LimitUsd = Annotated[str | None, typer.Option(help="The new session's budget in dollars.")]
PerTurnUsd = Annotated[
    str | None, typer.Option(help="What one turn of the new session may cost, in dollars.")
]
TokenLimit = Annotated[
    str | None, typer.Option(help="So many tokens may the new session use in all.")
]


def run(
    ctx: typer.Context,
    agent: Agent,
    text: Annotated[
        str, typer.Argument(metavar="INPUT", help="What to say; - reads it from stdin.")
    ],
    workspace: Workspace = "default",
    user: User = None,
    session: Session = None,
    path: Path = None,
    limit_usd: LimitUsd = None,
    per_turn_usd: PerTurnUsd = None,
    token_limit: TokenLimit = None,
    if_busy: Annotated[
        Literal["enqueue", "reject", "interrupt", "inject"] | None,
        typer.Option(
            help="Beside a turn under way: wait in line, be refused, cancel it, or join it.",
            show_default="enqueue",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give an agent one input and watch it work; Ctrl-C cancels the turn.

    What the agent asks is asked at the terminal; without one it says how to answer, and waits.
    Fails with status 1 and the reason if the turn does. --json prints one event a line.

    Example: bursar run reader "Summarise the reports" --path reports --limit-usd 0.50
    """
    from bursar.cli import conversation, live

    wish = _Wish(user, path, limit_usd, per_turn_usd, token_limit)
    if text == "-":
        text = sys.stdin.read()
    with connect(ctx, workspace) as client:
        opened = _open(client, agent, session, wish)
        stream = client.stream(opened, text, if_busy=if_busy, tree=not as_json)
        desk = conversation.desk_here(client, quiet=as_json)
        view = None if as_json else live.LiveView(opened.id, workspace=opened.workspace)
        show = live.print_event if view is None else view.show
        talk = conversation.Conversation(client, opened, desk, show, view)
        result = talk.follow(stream)
        if not as_json:
            _print_costs(client, opened, result)
    if not result.ok:
        live.report_failure(result)
        raise typer.Exit(1)


def chat(
    ctx: typer.Context,
    agent: Agent,
    workspace: Workspace = "default",
    user: User = None,
    session: Session = None,
    path: Path = None,
    limit_usd: LimitUsd = None,
    per_turn_usd: PerTurnUsd = None,
    token_limit: TokenLimit = None,
) -> None:
    """Talk to an agent: Ctrl-C cancels the running turn, Ctrl-D leaves.

    What the agent asks before it acts is asked in place, also for sub-agents below its session.
    The session stays open when you leave; --session goes on with it.
    """
    from bursar.cli import conversation, live

    wish = _Wish(user, path, limit_usd, per_turn_usd, token_limit)
    with connect(ctx, workspace) as client:
        opened = _open(client, agent, session, wish)
        console().print(f"{opened.agent}, session {opened.id}; Ctrl-D leaves", style="dim")
        view = live.LiveView(opened.id, workspace=opened.workspace)
        desk = conversation.desk_here(client)
        talk = conversation.Conversation(client, opened, desk, view.show, view)
        while (text := _ask()) is not None:
            if text.strip():
                result = talk.follow(client.stream(opened, text, tree=True))
                if not result.ok:
                    live.report_failure(result)
        again = command(f"chat {opened.agent} --session {opened.id}", opened.workspace)
        console().print(f"the session stays: {again}", style="dim", soft_wrap=True)


def _ask() -> str | None:
    """Read a line; None at the end of the input, nothing for a line given up with Ctrl-C."""
    import readline  # noqa: F401  (gives `input` its line editing and history)

    try:
        return input("> " if sys.stdin.isatty() else "")
    except EOFError:
        print()
        return None
    except KeyboardInterrupt:
        print()
        return ""


@dataclass(frozen=True)
class _Wish:
    """What a new session should be like, as the command line says it."""

    user: str | None
    path: str | None
    limit_usd: str | None
    per_turn_usd: str | None
    token_limit: str | None


def _open(client: "Client", agent: str, session: str | None, wish: _Wish) -> "SessionView":
    if session is None:
        return client.create_session(
            agent,
            user=wish.user,
            workspace_path=wish.path,
            limit_microusd=microusd_of(wish.limit_usd, "--limit-usd"),
            per_turn_microusd=microusd_of(wish.per_turn_usd, "--per-turn-usd"),
            token_limit=count_of(wish.token_limit, "--token-limit"),
        )
    for field in fields(wish):
        if getattr(wish, field.name) is not None:
            option = f"--{field.name.replace('_', '-')}"
            raise InvalidInput("only for a new session", field=option)
    found = client.get_session(session)
    if found.agent != agent:
        raise InvalidInput(f"{session} is a session of agent {found.agent!r}", field="AGENT")
    return found


def _print_costs(client: "Client", session: "SessionView", result: "TurnResult") -> None:
    from bursar.cli import live

    now = client.get_session(session)
    account = client.get_session_budget(session).account
    console().print(live.costs_line(result, now, account), style="dim", soft_wrap=True)
