"""Puts the commands together and turns errors into one line and an exit status."""

import re
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from bursar import __version__
from bursar.cli import (
    allowances,
    approvals,
    audit,
    budget,
    capabilities,
    jobs,
    keys,
    ledger,
    mapping,
    mcp,
    policy,
    processes,
    sessions,
    talk,
    top,
    tree,
    webhooks,
    workspaces,
)
from bursar.cli.options import Connection
from bursar.cli.output import clean
from bursar.errors import (
    BursarError,
    Conflict,
    Denied,
    GatewayUnreachable,
    InvalidInput,
    LimitReached,
    NotFound,
)

__all__ = ["app", "run"]

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 1, 2, 3, 130

_OPTIONS = {
    "item_limit_microusd": "--item-limit-usd",
    "limit_microusd": "--limit-usd",
    "per_turn_microusd": "--per-turn-usd",
    "timeout_s": "--timeout",
    "token_limit": "--token-limit",
    "workspace_path": "--path",
}
"""What the gateway calls by another name than the command line does."""
_FIELD = re.compile(rf"(?<![\w.])({'|'.join(_OPTIONS)})(?!\w)")

_USAGE = (InvalidInput, NotFound, Conflict, Denied, LimitReached)

app = typer.Typer(
    name="bursar",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 the turn or the command failed, 2 wrong usage or refused, "
    "3 the gateway cannot be reached, 130 Ctrl-C.",
)
for name, group in (
    ("sessions", sessions.app),
    ("jobs", jobs.app),
    ("budget", budget.app),
    ("audit", audit.app),
    ("approvals", approvals.app),
    ("allowances", allowances.app),
    ("policy", policy.app),
    ("mcp", mcp.app),
    ("capabilities", capabilities.app),
    ("webhooks", webhooks.app),
    ("keys", keys.app),
    ("workspaces", workspaces.app),
):
    app.add_typer(group, name=name)
for command in (
    processes.dev,
    processes.demo,
    processes.gateway,
    processes.worker,
    talk.run,
    talk.chat,
    tree.tree,
    top.top,
):
    app.command()(command)
app.command("map")(mapping.map_inputs)
for of_budget in (ledger.top, ledger.export, ledger.checkpoint):
    budget.app.command()(of_budget)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bursar {__version__}")
        raise typer.Exit


@app.callback()
def connection(
    ctx: typer.Context,
    url: Annotated[
        str, typer.Option(envvar="BURSAR_URL", help="The gateway's address.")
    ] = "http://127.0.0.1:8700",
    api_key: Annotated[
        str, typer.Option(envvar="BURSAR_API_KEY", help="The API key to use.", show_default=False)
    ] = "",
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Run AI-agent sessions on many machines, on one budget that cannot be overspent.

    Start with `bursar demo`, or with `bursar dev` and then, with the key that it prints,
    `BURSAR_API_KEY=… bursar run echo "Hello"`.
    """
    del version
    ctx.obj = Connection(url, api_key)


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    try:
        app(args=None if argv is None else list(argv), prog_name="bursar")
    except GatewayUnreachable as error:
        _complain(f"{error}; is it running? `bursar dev` starts one")
        return EXIT_UNREACHABLE
    except BursarError as error:
        said = _as_options(str(error)) if isinstance(error, InvalidInput) else str(error)
        _complain(f"{said}{_hint(error)}")
        return EXIT_USAGE if isinstance(error, _USAGE) else EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else EXIT_FAILED
    return 0


def _as_options(message: str) -> str:
    """Name the options that somebody typed, and not the fields that these have become."""
    return _FIELD.sub(lambda found: _OPTIONS[found[1]], message)


def _hint(error: BursarError) -> str:
    """What to do about an error, where that is not obvious."""
    if error.code == "unauthenticated":
        return "; set BURSAR_API_KEY"
    wait_s = error.details.get("retry_after_s") if isinstance(error, LimitReached) else None
    return f"; try again in {wait_s:g} s" if wait_s else ""


def _complain(message: str) -> None:
    print(f"bursar: {clean(message)}", file=sys.stderr)
