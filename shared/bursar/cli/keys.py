"""``bursar keys``: API keys, and the keys that sign; needs an administrator's key."""

from typing import Annotated

import typer

from bursar.cli.options import AsJson, connect
from bursar.cli.output import ago, clean, console, print_json, print_table

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Create, list and revoke API keys; rotate signing keys."
)


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
    approver: Annotated[
        bool,
        typer.Option("--approver", help="May answer questions about calls, grant and revoke."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is printed this once and never again.

    Example: bursar keys create backend --workspaces acme,beta
    """
    names = tuple(part.strip() for part in workspaces.split(",") if part.strip())
    with connect(ctx) as client:
        made = client.create_key(name, workspaces=names, admin=admin, approver=approver)
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
            "yes" if key.approver or key.admin else "",
            ago(key.created_ms),
        ]
        for key in found
    ]
    print_table(
        ["key", "name", "workspaces", "admin", "approver", "created"], rows, empty="no keys"
    )


@app.command()
def revoke(ctx: typer.Context, key: Annotated[str, typer.Argument(help="The key's id.")]) -> None:
    """Revoke a key; every gateway refuses it within a second."""
    with connect(ctx) as client:
        client.revoke_key(key)
    console().print(f"{key} is revoked")


@app.command()
def signing(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the public halves of the keys that sign capabilities and audit seals."""
    with connect(ctx) as client:
        found = client.list_signing_keys()
    if as_json:
        print_json(found)
        return
    rows = [[key.kid, key.state, key.public, ago(key.created_ms)] for key in found]
    print_table(["key", "state", "public", "created"], rows, empty="no signing keys")


@app.command()
def rotate(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Sign with a new key from now on; what older ones signed stays valid."""
    with connect(ctx) as client:
        made = client.rotate_signing_key()
    if as_json:
        print_json(made)
    else:
        console().print(f"{made.kid} signs from now on")


@app.command()
def revoke_signing(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="The signing key's id, sk_…")],
    as_json: AsJson = False,
) -> None:
    """End all that a signing key ever signed, everywhere within a second. For one that got out."""
    with connect(ctx) as client:
        ended = client.revoke_signing_key(key)
    if as_json:
        print_json(ended)
    else:
        console().print(f"{ended.kid} is revoked, and so is all that it signed")
