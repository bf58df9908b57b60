"""``bursar capabilities``: signed rights for a while; giving out and ending needs an approver."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.capability_output import print_capabilities, print_inspection, print_minted
from bursar.cli.options import AsJson, Workspace, connect, seconds_of
from bursar.cli.output import console, print_json
from bursar.errors import InvalidInput

if TYPE_CHECKING:
    from bursar.client import OutsidePath

__all__ = ["app", "outside_paths"]

_OPERATIONS = ("read", "write", "delete")

app = typer.Typer(
    no_args_is_help=True, help="Give out signed rights, make them narrower, end them."
)

Token = Annotated[str, typer.Argument(metavar="TOKEN", help="A token; - reads it from a pipe.")]
Session = Annotated[str | None, typer.Option("--session", "-s", help="For this session only.")]
Tree = Annotated[str | None, typer.Option("--tree", help="For the tree of this session only.")]
Starts = Annotated[str | None, typer.Option(help="Counts only from then on, such as 10min.")]
Once = Annotated[bool | None, typer.Option("--once", help="For one call in all.")]
Depth = Annotated[
    int | None, typer.Option(min=0, max=4, help="How often something may be derived from it.")
]
Manifest = Annotated[str | None, typer.Option(help="Hash of the tool; no other form is meant.")]
Outside = Annotated[
    list[str] | None,
    typer.Option(help="A place outside of the session's folder: read:/data/a, write:/data/ ."),
]
Volume = Annotated[
    str | None,
    typer.Option(help="Volume of these places, as questions show it.", show_default="as here"),
]
Note = Annotated[str | None, typer.Option(help="What it is for.")]


@app.command()
def mint(
    ctx: typer.Context,
    patterns: Annotated[
        list[str], typer.Argument(metavar="PATTERN...", help="Actions, such as net://*.org:443.")
    ],
    workspace: Workspace = "default",
    session: Session = None,
    tree: Tree = None,
    expires: Annotated[str, typer.Option(help="How long it is good: 10min, 8h, 30d.")] = "1h",
    starts: Starts = None,
    once: Once = None,
    depth: Depth = None,
    manifest: Manifest = None,
    outside: Outside = None,
    volume: Volume = None,
    note: Note = None,
    as_json: AsJson = False,
) -> None:
    """Let calls run without a question for a while. The token is printed; it is in force already.

    Example: bursar capabilities mint "file+write://reports/**" --session ses_06e0v3k --expires 8h
    """
    scope, of_session = _scope(session, tree)
    with connect(ctx, workspace) as client:
        made = client.mint_capability(
            patterns,
            scope=scope,
            session=of_session,
            expires_in_s=seconds_of(expires, "--expires"),
            starts_in_s=seconds_of(starts, "--starts"),
            single_use=once,
            depth=depth,
            manifest=manifest,
            outside=outside_paths(outside, volume),
            note=note,
        )
    print_minted(made, as_json=as_json)


@app.command()
def derive(
    ctx: typer.Context,
    token: Token,
    patterns: Annotated[
        list[str] | None, typer.Argument(metavar="PATTERN...", show_default="as the token has")
    ] = None,
    workspace: Workspace = "default",
    session: Session = None,
    tree: Tree = None,
    expires: Annotated[
        str | None, typer.Option(help="How long it is good.", show_default="as the token is")
    ] = None,
    starts: Starts = None,
    once: Once = None,
    depth: Depth = None,
    manifest: Manifest = None,
    outside: Outside = None,
    volume: Volume = None,
    note: Note = None,
    as_json: AsJson = False,
) -> None:
    """Make a part of a right: of all that is not given it has as much as the token.

    It ends when the token does or is revoked.

    Example: bursar capabilities derive "$TOKEN" "file+write://reports/a.md" --once
    """
    scope, of_session = _scope(session, tree)
    with connect(ctx, workspace) as client:
        made = client.derive_capability(
            _token(token),
            patterns=patterns,
            scope=scope,
            session=of_session,
            expires_in_s=seconds_of(expires, "--expires"),
            starts_in_s=seconds_of(starts, "--starts"),
            single_use=once,
            depth=depth,
            manifest=manifest,
            outside=outside_paths(outside, volume),
            note=note,
        )
    print_minted(made, as_json=as_json)


@app.command()
def inspect(
    ctx: typer.Context,
    which: Annotated[str, typer.Argument(metavar="TOKEN|ID", help="- reads it from a pipe.")],
    workspace: Workspace = "default",
    as_json: AsJson = False,
) -> None:
    """Say what a capability permits, whether it is good now, and if not, why not."""
    given = _token(which)
    with connect(ctx, workspace) as client:
        if "." in given:
            found = client.inspect_capability(token=given)
        else:
            found = client.inspect_capability(id=given)
    if as_json:
        print_json(found)
    else:
        print_inspection(found)


@app.command("list")
def list_capabilities(
    ctx: typer.Context, workspace: Workspace = "default", as_json: AsJson = False
) -> None:
    """List those that are in force, and those that ended a short while ago."""
    with connect(ctx, workspace) as client:
        found = client.list_capabilities()
    if as_json:
        print_json(found)
        return
    print_capabilities(found)


@app.command()
def revoke(
    ctx: typer.Context,
    capability: Annotated[str, typer.Argument(help="Its id.")],
    workspace: Workspace = "default",
) -> None:
    """Revoke a capability, and with it all that were derived from it."""
    with connect(ctx, workspace) as client:
        client.revoke_capability(capability)
    console().print(f"{capability} is revoked")


@app.command("import")
def import_token(
    ctx: typer.Context, token: Token, workspace: Workspace = "default", as_json: AsJson = False
) -> None:
    """Put a token in force again, as after a backup without it. What was revoked stays so."""
    with connect(ctx, workspace) as client:
        found = client.import_capability(_token(token))
    if as_json:
        print_json(found)
    else:
        print_inspection(found)


def _token(given: str) -> str:
    return sys.stdin.read().strip() if given == "-" else given


def _scope(session: str | None, tree: str | None) -> tuple[str | None, str | None]:
    if session and tree:
        raise InvalidInput("give --session or --tree, not both", field="--session")
    if tree:
        return "tree", tree
    return ("session", session) if session else (None, None)


def outside_paths(places: list[str] | None, volume: str | None) -> "list[OutsidePath] | None":
    """Read options that name places outside of sessions' folders; None stays None.

    Args:
        places: such as ``read:/data/a``; a folder with all below it ends with ``/``.
        volume: that they are on; None for the one of this machine.

    """
    from bursar.client import OutsidePath
    from bursar.gate.grants import volume_of

    if places is None:
        return None
    found = []
    for place in places:
        operation, colon, path = place.partition(":")
        if not colon or operation not in _OPERATIONS or not path.startswith("/"):
            raise InvalidInput(
                "expected read:, write: or delete: and an absolute path; a folder with all below "
                "it ends with /",
                field="--outside",
            )
        directory = path.endswith("/")
        bare = path.rstrip("/") or "/"
        on = volume_of(bare) if volume is None else volume
        found.append(OutsidePath(bare, operation, on, directory=directory))
    return found
