"""``bursar budget top``, ``export`` and ``checkpoint``: the ledger added up, stored, cut short."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bursar.cli.exports import Format, check_free, new_file, pages, write_pages
from bursar.cli.options import AsJson, Workspace, connect, moment_ms_of
from bursar.cli.output import bar, clean, console, print_json, print_table, tokens
from bursar.money import usd

if TYPE_CHECKING:
    from rich.status import Status

    from bursar.client import Spending

__all__ = ["checkpoint", "export", "top"]

Since = Annotated[
    str | None,
    typer.Option(help="Only from then on: 24h, 7d, 2026-03-01.", show_default="all there is"),
]
FileFormat = Annotated[Format, typer.Option("--format", help="csv, or json: one entry a line.")]
_AUDIT_S = 600.0  # how long a checkpoint may take, which audits first


def top(
    ctx: typer.Context,
    workspace: Workspace = "default",
    by: Annotated[
        Literal["session", "agent", "model"],
        typer.Option(help="What to add up by; tools with a price stand beside models."),
    ] = "session",
    since: Since = None,
    until: Annotated[str | None, typer.Option(help="Only before then.", show_default="now")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show who spent most.

    Example: bursar budget top --by model --since 7d
    """
    since_ms, until_ms = moment_ms_of(since, "--since"), moment_ms_of(until, "--until")
    with connect(ctx, workspace, timeout_s=_AUDIT_S) as client:
        found = client.get_spending(by=by, since_ms=since_ms, until_ms=until_ms, limit=limit)
    if as_json:
        print_json(found)
    else:
        _print_spending(found)


def _print_spending(found: "Spending") -> None:
    from rich.markup import escape

    named = found.by == "session"
    rows = [
        [
            # A model's name is whatever somebody asked for.
            escape(clean(one.name)),
            *([one.agent] if named else []),
            usd(max(0, one.cost_microusd)),
            bar(max(0, one.cost_microusd), max(1, found.total_microusd), 100, colour="blue"),
            tokens(one.tokens),
            tokens(one.calls),
        ]
        for one in found.spenders
    ]
    columns = [found.by, *(["agent"] if named else []), "spent>", "share", "tokens>", "calls>"]
    print_table(columns, rows, empty="nothing was spent")
    if rows:
        console().print(f"{usd(max(0, found.total_microusd))} in all", style="dim")
    if not found.complete:
        console(stderr=True).print(
            f"only the first {tokens(found.entries)} entries were added up; narrow it with --since",
            style="yellow",
        )


def export(
    ctx: typer.Context,
    workspace: Workspace = "default",
    since: Since = None,
    form: FileFormat = "csv",
    out: Annotated[
        Path | None, typer.Option(help="A new file.", show_default="standard output")
    ] = None,
) -> None:
    """Write the ledger, oldest entry first: as CSV, or as JSON, one entry a line.

    Example: bursar budget export --since 30d --out ledger.csv
    """
    since_ms = moment_ms_of(since, "--since")
    with connect(ctx, workspace) as client:
        found = pages(client, since_ms=since_ms)
        if out is None:
            _exhaust(write_pages(sys.stdout, found, form))
            return
        with new_file(out, "--out") as file, _progress("reading the ledger") as status:
            written = _told(write_pages(file, found, form), status, "entries")
    console().print(f"{tokens(written)} entries in {out}", soft_wrap=True)


def checkpoint(
    ctx: typer.Context,
    export_to: Annotated[
        Path, typer.Option("--export", help="A new file for all entries that are dropped.")
    ],
    workspace: Workspace = "default",
    form: FileFormat = "csv",
    force: Annotated[
        bool,
        typer.Option("--force", help="Also if the ledger does not add up to the accounts."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Shorten the ledger: carry all accounts forward, store what is before that, drop it.

    Nothing is dropped before the file is complete and on the disk. Should anything fail on the way,
    do it again with another file; entries that are in both are the same.

    Example: bursar budget checkpoint --export ledger-2026-03.csv
    """
    check_free(export_to, "--export")
    with connect(ctx, workspace, timeout_s=_AUDIT_S) as client:
        with _progress("auditing and carrying accounts forward"):
            made = client.checkpoint_ledger(force=force or None)
        with new_file(export_to, "--export") as file, _progress("reading the ledger") as status:
            found = pages(client, before=made.checkpoint)
            written = _told(write_pages(file, found, form), status, "entries stored")
        dropped, more = 0, True
        with _progress("dropping what is stored") as status:
            while more:
                trimmed = client.trim_ledger(made.checkpoint)
                dropped, more = dropped + trimmed.entries, trimmed.more
                status.update(f"{tokens(dropped)} entries dropped")
    if as_json:
        print_json(
            {
                "checkpoint": made.checkpoint,
                "accounts": made.accounts,
                "exported": written,
                "dropped": dropped,
                "file": str(export_to),
            }
        )
        return
    console().print(
        f"{tokens(written)} entries are in {export_to} and {tokens(dropped)} dropped; "
        f"{tokens(made.accounts)} accounts were carried forward",
        soft_wrap=True,
    )


@contextmanager
def _progress(what: str) -> "Iterator[Status]":
    """A line on the terminal that says how far it is; nothing in a pipe."""
    with console(stderr=True).status(what) as status:
        yield status


def _told(counts: Iterable[int], status: "Status", what: str) -> int:
    last = 0
    for last in counts:
        status.update(f"{tokens(last)} {what}")
    return last


def _exhaust(counts: Iterable[int]) -> None:
    for _ in counts:
        pass
