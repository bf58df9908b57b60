"""Options that many commands share, and the client that they lead to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from bursar.money import microusd_from_usd

if TYPE_CHECKING:
    from bursar.client import Client

__all__ = ["AsJson", "Connection", "Workspace", "connect", "microusd_of"]

Workspace = Annotated[
    str,
    typer.Option("--workspace", "-w", envvar="BURSAR_WORKSPACE", help="The workspace to work in."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@dataclass(frozen=True)
class Connection:
    url: str
    api_key: str


def connect(ctx: typer.Context, workspace: str = "default") -> "Client":
    """Make the client that the command line and the environment ask for."""
    from bursar.client import Client

    connection = ctx.ensure_object(Connection)
    return Client(connection.url, connection.api_key, workspace=workspace)


def microusd_of(usd: str | None, option: str) -> int | None:
    """Read an option in dollars; None stays None."""
    return None if usd is None else microusd_from_usd(usd.removeprefix("$"), field=option)
