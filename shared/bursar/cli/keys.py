"""``bursar keys``: API keys; needs an administrator's key."""

from typing import Annotated

import typer

from bursar.cli.options import AsJson, connect
from bursar.cli.output import ago, clean, console, print_json, print_table

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys (administrators).")


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    workspaces: Annotated[
        str, typer.Option(help="Workspaces it may see, separated by commas; * for all.")
    ] = "*",
    admin: Annotated[
        bool, typer.Option("--admin", help="May also manage keys and workspaces.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is printed this once and never again.

    Example: bursar keys create backend --workspaces acme,beta
    """
    names = tuple(part.strip() for part in workspaces.split(",") if part.strip())
    with connect(ctx) as client:
        made = client.create_key(name, workspaces=names, admin=admin)
    if as_json:
        print_json(made)
        return
    print(made.token)
    console(stderr=True).print("keep it safe: it is not shown again", style="dim")


@app.command("list")
def list_keys(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    with connect(ctx) as client:
        found = client.list_keys()
    if as_json:
        print_json(found)
        return
    rows = [
        [
            key.id,
            clean(key.name),
            ", ".join(key.workspaces),
            "yes" if key.admin else "",
            ago(key.created_ms),
        ]
        for key in found
    ]
    print_table(["key", "name", "workspaces", "admin", "created"], rows, empty="no keys")


@app.command()
def revoke(ctx: typer.Context, key: Annotated[str, typer.Argument(help="The key's id.")]) -> None:
    """Revoke a key; every gateway refuses it within a second."""
    with connect(ctx) as client:
        client.revoke_key(key)
    console().print(f"{key} is revoked")
