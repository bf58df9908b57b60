"""``bursar allowances``: what agents may do without asking; changing it needs an approver's key."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.capabilities import outside_paths
from bursar.cli.exports import new_file
from bursar.cli.options import AsJson, Workspace, connect, seconds_of
from bursar.cli.output import ago, ahead, console, fitting_table, print_json
from bursar.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bursar.client import AllowanceView, OutsidePath

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Let such calls run without a question, and take that back."
)

Session = Annotated[str | None, typer.Option("--session", "-s", help="For this session only.")]
Tree = Annotated[str | None, typer.Option("--tree", help="For the tree of this session only.")]


@app.command("list")
def list_allowances(
    ctx: typer.Context,
    workspace: Workspace = "default",
    session: Annotated[
        str | None, typer.Option("--session", "-s", help="Also those that count in this session.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what is allowed in the workspace."""
    with connect(ctx, workspace) as client:
        found = client.list_allowances(session=session)
    if as_json:
        print_json(found)
    else:
        console().print(_table(found))


@app.command()
def add(
    ctx: typer.Context,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Actions, such as file+write://reports/**.")
    ],
    workspace: Workspace = "default",
    session: Session = None,
    tree: Tree = None,
    uses: Annotated[
        int | None, typer.Option(min=1, help="So many calls.", show_default="any number")
    ] = None,
    span: Annotated[
        str | None,
        typer.Option("--for", help="For so long: 10min, 8h, 30d.", show_default="until revoked"),
    ] = None,
    outside: Annotated[
        list[str] | None,
        typer.Option(help="A place outside of the sessions' folders: read:/data/a, write:/data/ ."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="For sessions with this folder only: its whole path.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let calls run that would be asked about. A policy that blocks them still does.

    Example: bursar allowances add "file+write://reports/**" --uses 20 --for 8h
    """
    from bursar.client import NewAllowance

    scope, of_session = _scope(session, tree)
    wish = NewAllowance(
        pattern=pattern,
        scope=scope,
        session=of_session,
        max_uses=uses,
        expires_in_s=seconds_of(span, "--for"),
        folder=str(folder or ""),
        paths=tuple(outside_paths(outside, None) or ()),
        note=note or "",
    )
    with connect(ctx, workspace) as client:
        made = client.create_allowance(wish)
    if as_json:
        print_json(made)
    else:
        console().print(_table([made]))


@app.command()
def revoke(
    ctx: typer.Context,
    allowances: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Which; or --all.")
    ] = None,
    workspace: Workspace = "default",
    session: Annotated[
        str | None, typer.Option("--session", "-s", help="The session that they are of.")
    ] = None,
    tree: Annotated[
        str | None, typer.Option("--tree", help="A session of the tree that they are of.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All of the workspace, the session or the tree.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take back what was allowed; the next such call is asked about.

    Example: bursar allowances revoke --all --session ses_06h18v
    """
    ids = allowances or []
    if bool(ids) == every:
        raise InvalidInput("give ids, or --all", field="ID" if every else "--all")
    scope, of_session = _scope(session, tree)
    with connect(ctx, workspace) as client:
        if every:
            where = (
                f"the workspace {workspace}" if scope == "workspace" else f"{scope} {of_session}"
            )
            if not yes and sys.stdin.isatty():
                typer.confirm(f"Revoke all that is allowed in {where}?", abort=True, err=True)
            ended = client.revoke_allowances(scope, session=of_session or None).revoked
            console().print(f"{ended} {'is' if ended == 1 else 'are'} revoked")
            return
        for allowance in ids:
            try:
                client.revoke_allowance(allowance, session=of_session or None)
            except NotFound as error:
                raise _not_found(error, allowance, scope) from error
            console().print(f"{allowance} is revoked")


@app.command()
def export(
    ctx: typer.Context,
    workspace: Workspace = "default",
    out: Annotated[
        Path | None, typer.Option(help="A new file.", show_default="standard output")
    ] = None,
) -> None:
    """Write the workspace's own allowances as JSON, for `import`."""
    with connect(ctx, workspace) as client:
        found = client.export_allowances()
    if out is None:
        print_json(found)
        return
    import msgspec

    with new_file(out, "--out") as file:
        file.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    console().print(f"{len(found)} in {out}", markup=False, soft_wrap=True)


@app.command("import")
def import_allowances(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="An export; - reads it from a pipe.")],
    workspace: Workspace = "default",
    as_json: AsJson = False,
) -> None:
    """Take allowances that were exported; what was revoked or used up here stays so."""
    entries = _read(file)
    with connect(ctx, workspace) as client:
        taken = client.import_allowances(entries)
    if as_json:
        print_json(taken)
        return
    told = f"{taken.added} taken, {taken.present} were there, {taken.used_up} had ended and stay so"
    console().print(told)


def _read(file: Path) -> "list[AllowanceView]":
    import msgspec

    from bursar.client import AllowanceView

    try:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return msgspec.json.decode(text, type=list[AllowanceView])
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}", field="FILE") from error
    except msgspec.MsgspecError as error:
        raise InvalidInput(
            f"{file} is no export of `bursar allowances export`: {error}", field="FILE"
        ) from error


def _scope(session: str | None, tree: str | None) -> tuple[str, str]:
    if session is not None and tree is not None:
        raise InvalidInput("give --session or --tree, not both", field="--session")
    if tree is not None:
        return "tree", tree
    return ("session", session) if session is not None else ("workspace", "")


def _not_found(error: NotFound, allowance: str, scope: str) -> NotFound:
    if error.code != "allowance_not_found":
        return error
    where = {
        "workspace": "the workspace has no such allowance; one that is kept with a session "
        "needs --session",
    }.get(scope, f"there is no such allowance in that {scope}")
    return NotFound(f"{allowance}: {where}; `bursar allowances list` shows all", code=error.code)


def _table(found: "Sequence[AllowanceView]") -> "RenderableType":
    from rich.markup import escape
    from rich.text import Text

    from bursar.gate.display import MAX_NAME, MAX_RESOURCE, readable

    if not found:
        return Text("nothing is allowed beyond the policy", style="dim")
    rows = [
        [
            view.id,
            _place(view),
            escape(readable(view.folder, MAX_RESOURCE)),
            escape(readable(view.pattern, MAX_RESOURCE)),
            escape(", ".join(_outside(path) for path in view.paths)),
            "" if view.max_uses is None else f"{view.uses_left} of {view.max_uses}",
            "" if view.expires_ms is None else ahead(view.expires_ms),
            f"{ago(view.created_ms)} by {escape(readable(view.created_by, MAX_NAME))}",
            view.approval,
            escape(readable(view.note, MAX_NAME)),
        ]
        for view in found
    ]
    columns = [
        "allowance",
        "for",
        "folder",
        "pattern",
        "outside",
        "uses",
        "ends",
        "made",
        "answer to",
        "note",
    ]
    return fitting_table(columns, rows)


def _place(view: "AllowanceView") -> str:
    if view.scope == "workspace":
        return "the workspace"
    return f"session {view.session}" if view.scope == "session" else f"tree of {view.root}"


def _outside(path: "OutsidePath") -> str:
    from bursar.gate.display import MAX_RESOURCE, readable

    return f"{path.operation or 'any use'} of {readable(path.path, MAX_RESOURCE)}" + (
        "/**" if path.directory else ""
    )
