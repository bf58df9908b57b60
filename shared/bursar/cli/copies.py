"""``bursar sessions fork``, ``export``, ``import``: sessions made of other ones."""

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from bursar.cli.exports import check_free, new_file
from bursar.cli.options import AsJson, Workspace, connect, count_of, microusd_of
from bursar.cli.output import console, print_json
from bursar.errors import InvalidInput
from bursar.money import usd

if TYPE_CHECKING:
    from bursar.client import Client

__all__ = ["export", "fork", "import_"]

_TRANSFER_S = 300.0
"""For a document of many megabytes on a slow line."""

SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]
LimitUsd = Annotated[
    str | None, typer.Option(metavar="USD", help="What the new session may spend.")
]
TokenLimit = Annotated[
    str | None, typer.Option(metavar="TOKENS", help="How many tokens it may use.")
]


def fork(
    ctx: typer.Context,
    session: SessionId,
    workspace: Workspace = "default",
    at: Annotated[
        int | None,
        typer.Option(min=0, help="Index of the last message to copy.", show_default="the newest"),
    ] = None,
    new_id: Annotated[str | None, typer.Option("--id", help="An id for the new session.")] = None,
    title: Annotated[str | None, typer.Option(help="A title of its own.")] = None,
    agent: Annotated[str | None, typer.Option(help="Another agent, with its model.")] = None,
    model: Annotated[str | None, typer.Option(help="Another model.")] = None,
    limit_usd: LimitUsd = None,
    token_limit: TokenLimit = None,
    as_json: AsJson = False,
) -> None:
    """Make a session that goes on from a message of another one, which stays as it is.

    It is as that one, with the same limits, but has spent nothing, and nothing is allowed to it.

    Example: bursar sessions fork ses_06e0v3k --at 11 --model anthropic:claude-sonnet-4-5
    """
    with connect(ctx, workspace) as client:
        view = client.fork_session(
            session,
            at,
            id=new_id,
            title=title,
            agent=agent,
            model=model,
            limit_microusd=microusd_of(limit_usd, "--limit-usd"),
            token_limit=count_of(token_limit, "--token-limit"),
        )
    if as_json:
        print_json(view)
        return
    told = f"up to message {view.forked_at}" if view.forked_at is not None else "without messages"
    console().print(f"{view.id} goes on from {session}, {told}", soft_wrap=True)


def export(
    ctx: typer.Context,
    session: SessionId,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A new file.", show_default="standard output"),
    ] = None,
    workspace: Workspace = "default",
) -> None:
    """Write a session as one JSON document: what it was made with, and its messages.

    `bursar sessions import` makes a session of it, here or in another installation. Grants,
    questions and text of context providers are not in it.

    Example: bursar sessions export ses_06e0v3k reports.json
    """
    with connect(ctx, workspace, timeout_s=_TRANSFER_S) as client:
        if file is None:
            _write(client, session, sys.stdout)
            return
        check_free(file, "FILE")
        with new_file(file, "FILE") as out:
            messages = _write(client, session, out)
    console().print(f"{session} with {messages} messages is in {file}", soft_wrap=True)


def _write(client: "Client", session: str, out: IO[str]) -> int:
    """Write the document; all of its lines but the first and the last are messages: so many."""
    lines = 0
    for line in client.export_session(session):
        out.write(f"{line.decode()}\n")
        lines += 1
    return lines - 2


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An exported session; - reads it.")],
    workspace: Workspace = "default",
    new_id: Annotated[
        bool, typer.Option("--new-id", help="Give it an id of its own, not the document's.")
    ] = False,
    limit_usd: LimitUsd = None,
    token_limit: TokenLimit = None,
    as_json: AsJson = False,
) -> None:
    """Make a session of an exported one. A session that exists is never changed.

    It gets an account of its own, with the usual limits; what the document says was spent is kept
    as information.

    Example: bursar sessions import reports.json --new-id
    """
    document = _read(file)
    _check(document)
    with connect(ctx, workspace, timeout_s=_TRANSFER_S) as client:
        view = client.import_session(
            document,
            new_id=new_id,
            limit_microusd=microusd_of(limit_usd, "--limit-usd"),
            token_limit=count_of(token_limit, "--token-limit"),
        )
    if as_json:
        print_json(view)
        return
    before = view.spent_before_microusd
    told = f"; {usd(before)} were spent on it before" if before else ""
    console().print(f"{view.id} has {view.message_count} messages{told}", soft_wrap=True)


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}", field="FILE") from None


def _check(document: bytes) -> None:
    """Refuse a file that is none of ours by its name, before it is sent."""
    import msgspec

    try:
        msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidInput(f"expected an exported session: {error}", field="FILE") from None
