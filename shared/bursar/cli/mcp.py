"""``bursar mcp``: tools of MCP servers, and those that changed; needs an administrator's key."""

import difflib
from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.options import AsJson, connect
from bursar.cli.output import ago, clean, console, print_json, print_table

if TYPE_CHECKING:
    from bursar.client import AcceptedManifest, Client, Look, ManifestView

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="See and accept tools of MCP servers (administrators)."
)

_SHOWN_DIGITS = 12


@app.command("list")
def list_tools(
    ctx: typer.Context,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only tools that are not as they were accepted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the tools that workers have seen, and which of them changed since they were accepted.

    Each call of a changed tool waits for a person until it is accepted. The hashes are what
    `McpServer(manifest=…)` takes; `--json` has them whole.
    """
    with connect(ctx) as client:
        found = [view for view in client.list_manifests() if view.changed or not changed]
    if as_json:
        print_json(found)
        return
    rows = [
        [
            f"{view.agent}/{view.server}/{view.tool}",
            view.accepted.sha256[:_SHOWN_DIGITS],
            clean(view.accepted_by),
            ago(view.accepted_ms),
            f"changed: {clean(view.changes)}" if view.changed else "",
        ]
        for view in found
    ]
    empty = "no tool has changed" if changed else "no worker has seen a tool of an MCP server"
    print_table(["tool", "hash", "accepted by", "when", ""], rows, empty=empty)


@app.command()
def accept(
    ctx: typer.Context,
    agent: Annotated[str, typer.Argument(help="The agent that has the server.")],
    server: Annotated[str, typer.Argument(help="The server's name.")],
    tool: Annotated[str | None, typer.Argument(help="One tool; all changed ones if left out.")] = (
        None
    ),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Accept changed tools as they look now. Shows what is different and asks first.

    Example: bursar mcp accept assistant github
    """
    with connect(ctx) as client:
        views = [
            view
            for view in client.list_manifests()
            if (view.agent, view.server) == (agent, server) and tool in {None, view.tool}
        ]
        changed = [view for view in views if view.changed]
        if not changed:
            # The gateway knows best why there is nothing to accept.
            accepted = client.accept_manifests(agent, server, tool=tool)
        else:
            if not yes:
                for view in changed:
                    _show(view)
                typer.confirm(f"Accept {len(changed)} as they look now?", abort=True, err=True)
            accepted = [each for view in changed for each in _accept(client, view)]
    if as_json:
        print_json(accepted)
        return
    for each in accepted:
        console().print(f"{each.agent}/{each.server}/{each.tool} is accepted")
    if not accepted:
        console().print("no tool of this server has changed", style="dim")


def _accept(client: "Client", view: "ManifestView") -> "list[AcceptedManifest]":
    """Accept what was shown, and not what may have come since."""
    assert view.changed is not None  # noqa: S101
    sha256 = view.changed.sha256
    return client.accept_manifests(view.agent, view.server, tool=view.tool, sha256=sha256)


def _show(view: "ManifestView") -> None:
    """Print what is different, one line each, on standard error."""
    assert view.changed is not None  # noqa: S101
    out = console(stderr=True)
    out.print(f"{view.tool}: {clean(view.changes)} changed", markup=False, style="bold")
    for line in difflib.unified_diff(_lines(view.accepted), _lines(view.changed), lineterm="", n=1):
        if not line.startswith(("---", "+++", "@@")):
            out.print(clean(line), markup=False)


def _lines(look: "Look") -> list[str]:
    """A look as lines; a schema has none of its own, so each of its parts gets one."""
    return [*look.description.splitlines(), *look.parameters.replace(',"', ',\n"').splitlines()]
