"""``bursar audit tail``, ``export``, ``trim``, ``accept``: read an audit log, store it, cut it."""

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bursar.cli.audit_verify import (
    AUDIT_S,
    INSTALLATION,
    Installation,
    lines_of,
    print_verdicts,
    ring_of,
)
from bursar.cli.exports import check_free, new_file
from bursar.cli.options import AsJson, Workspace, connect, moment_ms_of
from bursar.cli.output import clean, console, print_json, tokens
from bursar.errors import Conflict

if TYPE_CHECKING:
    from bursar.audit.verdicts import Verdict
    from bursar.client import AuditEntry, AuditPage, Client, TrimmedAudit

__all__ = ["accept", "export", "print_entries", "tail", "trim"]

_EVERY_S = 1.0
_COLOURS = {"allow": "green", "deny": "red", "ask": "yellow", "done": "dim"}


def tail(
    ctx: typer.Context,
    workspace: Workspace = "default",
    installation: Installation = False,
    count: Annotated[
        int, typer.Option("--lines", "-n", min=1, max=1000, help="The newest so many.")
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    session: Annotated[str | None, typer.Option(help="Only of this session.")] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this action; 'tool://*' for all that begin so.")
    ] = None,
    decision: Annotated[
        Literal["allow", "deny", "ask", "done"] | None, typer.Option(help="Only these.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest entries, oldest of them first.

    Example: bursar audit tail -w acme --decision deny -f
    """
    wanted: dict[str, Any] = {"action": action, "decision": decision}
    if not installation:
        wanted["session"] = session
    with connect(ctx, INSTALLATION if installation else workspace) as client:
        page = _page(client, wanted, limit=count)
        entries = list(reversed(page.entries))
        print_entries(entries, as_json=as_json)
        # From the newest one on, wanted or not, which is what a new log's first page begins with.
        seen = entries[-1].seq if entries else 0
        while follow:
            page = _page(client, wanted, after=seen, limit=1000)
            print_entries(page.entries, as_json=as_json)
            seen = max(seen, page.seen_seq)
            if not page.more:
                time.sleep(_EVERY_S)


def _page(client: "Client", wanted: dict[str, Any], **where: Any) -> "AuditPage":
    if client.routes.workspace == INSTALLATION:
        return client.list_installation_audit(**wanted, **where)
    return client.list_audit(**wanted, **where)


def print_entries(entries: "Iterable[AuditEntry]", *, as_json: bool = False) -> None:
    """Print entries of a log, a line each."""
    for entry in entries:
        if as_json:
            print_json(entry)
        else:
            console().print(_line(entry), soft_wrap=True)


def _line(entry: "AuditEntry") -> str:
    from rich.markup import escape

    at = datetime.fromtimestamp(entry.at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    proof = f"{entry.proof} {entry.proof_id}".strip() if entry.proof != "system" else ""
    facts = [entry.session, entry.turn, entry.outcome, proof, entry.reason]
    facts += [f"{name}={value}" for name, value in entry.details.items()]
    told = escape(clean("  ".join(fact for fact in facts if fact)))
    who, what = escape(clean(entry.actor)), escape(clean(entry.action))
    decision = f"[{_COLOURS.get(entry.decision, 'dim')}]{entry.decision:<5}[/]"
    return f"{entry.seq:>6}  [dim]{at}[/]  {decision}  {who}  [bold]{what}[/]  {told}".rstrip()


def export(
    ctx: typer.Context,
    workspace: Workspace = "default",
    installation: Installation = False,
    out: Annotated[
        Path | None, typer.Option(help="A new file.", show_default="standard output")
    ] = None,
) -> None:
    """Write an audit log as lines of JSON, and verify it on the way; status 1 if it is not whole.

    `bursar audit verify --file` reads it later, with no gateway. Keep the head that it prints apart
    from the file.

    Example: bursar audit export -w acme --out audit-2026-03.jsonl
    """
    with connect(ctx, INSTALLATION if installation else workspace, timeout_s=AUDIT_S) as client:
        if out is None:
            verdict = _export(client, None)
        else:
            check_free(out, "--out")
            verdict = _export(client, out)
            console().print(f"{tokens(verdict.entries)} entries in {out}", soft_wrap=True)
    if out is not None or not verdict.ok:
        print_verdicts([verdict])
    if not verdict.ok:
        raise typer.Exit(1)


def _export(client: "Client", out: Path | None) -> "Verdict":
    from bursar.audit.verifying import Verifier

    verifier = Verifier(ring_of(client))

    def checked() -> Iterator[str]:
        for line in lines_of(client, unsealed=False):
            verifier.feed(line)
            yield f"{line.decode()}\n"

    if out is None:
        sys.stdout.writelines(checked())
    else:
        with new_file(out, "--out") as file:
            file.writelines(checked())
    return verifier.finish()


def trim(
    ctx: typer.Context,
    export_to: Annotated[
        Path, typer.Option("--export", help="A new file for the log as it is before.")
    ],
    workspace: Workspace = "default",
    installation: Installation = False,
    before: Annotated[
        str | None, typer.Option(help="Only what was sealed before then: 30d, 2026-03-01.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store an audit log in a file, verify that, and drop from Redis what is in it.

    The seal with which the rest begins stays, and the log says who trimmed it (administrators).

    Example: bursar audit trim -w acme --export audit-2026-03.jsonl --before 30d
    """
    check_free(export_to, "--export")
    before_ms = moment_ms_of(before, "--before")
    with connect(ctx, INSTALLATION if installation else workspace, timeout_s=AUDIT_S) as client:
        verdict = _export(client, export_to)
        if not verdict.ok:
            print_verdicts([verdict])
            raise Conflict("nothing was dropped: the log is not whole", code="audit_differs")
        to_seq, head = verdict.sealed_seq, verdict.head
        if before_ms is not None:
            to_seq, head = _last_seal(client, verdict, before_ms)
        dropped, more = 0, to_seq >= verdict.first_seq
        while more:
            trimmed = _trim(client, to_seq, head)
            dropped, more = dropped + trimmed.entries, trimmed.more
    if as_json:
        told = {"exported": verdict.entries, "dropped": dropped, "file": str(export_to)}
        print_json({**told, "to_seq": to_seq, "head": head})
        return
    console().print(
        f"{tokens(verdict.entries)} entries are in {export_to} and {tokens(dropped)} dropped",
        soft_wrap=True,
    )
    print_verdicts([verdict])


def _last_seal(client: "Client", verdict: "Verdict", before_ms: int) -> tuple[int, str]:
    """The last seal of the export that is older than a moment."""
    to_seq, head = verdict.first_seq - 1, ""
    while True:
        if client.routes.workspace == INSTALLATION:
            page = client.list_installation_audit_seals(after=to_seq, limit=1000)
        else:
            page = client.list_audit_seals(after=to_seq, limit=1000)
        for seal in page:
            if seal.at_ms >= before_ms or seal.to_seq > verdict.sealed_seq:
                return to_seq, head
            to_seq, head = seal.to_seq, seal.head
        if not page:
            return to_seq, head


def _trim(client: "Client", to_seq: int, head: str) -> "TrimmedAudit":
    if client.routes.workspace == INSTALLATION:
        return client.trim_installation_audit(to_seq, head)
    return client.trim_audit(to_seq, head)


def accept(
    ctx: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; stands in the installation's log.")],
    workspace: Workspace = "default",
    installation: Installation = False,
    as_json: AsJson = False,
) -> None:
    """Take an audit log as it is after a loss of data, though a later head was published.

    Until then nothing of it is trimmed and verify says what is missing (administrators).

    Example: bursar audit accept -w acme --reason "restored from the backup of Monday"
    """
    with connect(ctx, INSTALLATION if installation else workspace) as client:
        if installation:
            accepted = client.accept_installation_audit(reason)
        else:
            accepted = client.accept_audit(reason)
    if as_json:
        print_json(accepted)
        return
    console().print(
        f"entry {accepted.seq} is the published head now; it was entry {accepted.published_seq}"
    )
