"""``bursar audit verify``: is an audit log what it was when it was written?

The hashes and signatures are computed here, from what the gateway sends or a file holds: a gateway
is believed to show what is in Redis, and nothing else.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.options import AsJson, connect
from bursar.cli.output import clean, console, make_table, print_json, tokens
from bursar.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from bursar.audit.keyring import KeyRing
    from bursar.audit.verdicts import Verdict
    from bursar.client import Client

__all__ = [
    "AUDIT_S",
    "INSTALLATION",
    "Installation",
    "lines_of",
    "print_verdicts",
    "ring_of",
    "verify",
]

INSTALLATION = "*"
"""As `bursar.audit.chain` calls the log of what is of no workspace."""
Installation = Annotated[
    bool,
    typer.Option(
        "--installation", help="The log of what is of no workspace, such as refused logins."
    ),
]
AUDIT_S = 600.0
"""How long a gateway may take for a log, from line to line."""
_HEAD = re.compile(r"(\d{1,15}):([0-9a-f]{64})")


def verify(
    ctx: typer.Context,
    workspaces: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORKSPACE]...", help="Which; all, if none is given."),
    ] = None,
    installation: Installation = False,
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", help="An export instead, without a gateway; several in order."),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            help="What an earlier run printed as the head: the log must still be as it was then."
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="Believe the public keys in this file alone (`bursar keys signing`)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute the chain of an audit log anew and compare it with every seal; status 1 if not whole.

    It finds entries that were changed, dropped, moved, put in or cut off, and names the first wrong
    one. Keep the head that it prints: whoever can write Redis and sign can change all the rest.

    Examples: bursar audit verify acme --head 1203:3fa9…
    bursar audit verify --file audit-2026-03.jsonl
    """
    kept = _head_of(head)
    if files:
        if workspaces or installation:
            raise InvalidInput("expected no workspaces beside --file", field="--file")
        verdicts = _verify_files(files, keys, kept)
    else:
        verdicts = _verify_logs(ctx, workspaces or [], keys, kept, installation=installation)
    if as_json:
        print_json(verdicts)
    else:
        print_verdicts(verdicts)
        if files and keys is None:
            console(stderr=True).print(
                "the public keys are those that the file names; --keys says which to believe",
                style="dim",
            )
    if not all(verdict.ok for verdict in verdicts):
        raise typer.Exit(1)


def _head_of(head: str | None) -> dict[int, str]:
    if head is None:
        return {}
    found = _HEAD.fullmatch(head)
    if found is None:
        raise InvalidInput("expected <entry>:<64 hex digits>, as verify prints", field="--head")
    return {int(found[1]): found[2]}


def _verify_logs(
    ctx: typer.Context,
    workspaces: Sequence[str],
    keys: Path | None,
    kept: dict[int, str],
    *,
    installation: bool,
) -> "list[Verdict]":
    names = list(workspaces)
    with connect(ctx) as client:
        ring = _ring_in(keys) if keys else ring_of(client)
        if not names and not installation:
            names = [view.id for view in client.list_workspaces()]
    names += [INSTALLATION] if installation else []
    if kept and len(names) != 1:
        raise InvalidInput("expected one log, whose head it is", field="--head")
    verdicts = []
    for name in names:
        with connect(ctx, name, timeout_s=AUDIT_S) as client:
            verdicts.append(_checked(name, lines_of(client, unsealed=True), ring, kept))
    return verdicts


def lines_of(client: "Client", *, unsealed: bool) -> Iterator[bytes]:
    """The lines of the log of the client's workspace, which may be `INSTALLATION`."""
    if client.routes.workspace == INSTALLATION:
        return client.export_installation_audit(unsealed=unsealed)
    return client.export_audit(unsealed=unsealed)


def ring_of(client: "Client") -> "KeyRing":
    """The public keys that the gateway knows."""
    from bursar.audit.keyring import KeyRing

    return KeyRing.of(client.list_signing_keys())


def _checked(name: str, lines: Iterable[bytes], ring: "KeyRing", kept: dict[int, str]) -> "Verdict":
    from bursar.audit.verdicts import Finding, Verdict
    from bursar.audit.verifying import Verifier

    verifier = Verifier(ring, heads=kept)
    try:
        for line in lines:
            verifier.feed(line)
    except Conflict as error:
        if error.code != "audit_unreadable":
            raise
        finding = Finding(0, "file", error.message)
        return Verdict(name, False, 0, 0, 0, 0, 0, 0, "", (), (finding,))
    return verifier.finish()


def _verify_files(
    files: Sequence[Path], keys: Path | None, kept: dict[int, str]
) -> "list[Verdict]":
    """Each file by itself, and that it goes on where the one before it ended."""
    verdicts: list[Verdict] = []
    for file in files:
        ring = _ring_in(keys) if keys else _own_ring(file)
        heads = dict(kept) if file == files[-1] else {}
        if verdicts and verdicts[-1].ok:
            heads[verdicts[-1].sealed_seq] = verdicts[-1].head
        verdicts.append(_checked(file.name, _read(file), ring, heads))
    return verdicts


def _read(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as lines:
            for line in lines:
                yield line.rstrip(b"\n")
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}", field="--file") from error


def _own_ring(file: Path) -> "KeyRing":
    """The keys in a file's last line; none, if that is no last line."""
    from bursar.audit.keyring import KeyRing
    from bursar.audit.lines import End, read_line

    last = b""
    for line in _read(file):
        last = line
    try:
        end = read_line(last)
    except ValueError:
        return KeyRing({})
    return KeyRing.of_texts(end.keys) if isinstance(end, End) else KeyRing({})


def _ring_in(keys: Path) -> "KeyRing":
    from bursar.audit.keyring import KeyRing

    try:
        return KeyRing.read(keys.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{keys} is no list of public keys, as `bursar keys signing --json` prints",
            field="--keys",
        ) from error


def print_verdicts(verdicts: "Sequence[Verdict]") -> None:
    """A line for each log, what is wrong with it, and the heads to be kept."""
    from rich.markup import escape

    rows = [
        [
            _name(verdict),
            tokens(verdict.entries),
            tokens(verdict.seals),
            tokens(max(0, verdict.last_seq - verdict.sealed_seq)),
            "[green]ok[/]" if verdict.ok else f"[red]wrong from entry {verdict.wrong_seq}[/]",
        ]
        for verdict in verdicts
    ]
    columns = ["log", "entries>", "seals>", "not sealed yet>", "result"]
    out = console()
    out.print(make_table(columns, rows, empty="no workspaces"))
    wrong = [
        [_name(verdict), str(finding.seq), escape(clean(finding.what))]
        for verdict in verdicts
        for finding in verdict.findings
    ]
    if wrong:
        out.print()
        out.print(make_table(["log", "entry>", "what is wrong"], wrong, empty=""))
    for verdict in verdicts:
        if verdict.ok and verdict.sealed_seq:
            head = f"{verdict.sealed_seq}:{verdict.head}"
            out.print(f"head of {_name(verdict)}: {head}", style="dim", soft_wrap=True)


def _name(verdict: "Verdict") -> str:
    return "installation" if verdict.workspace == INSTALLATION else verdict.workspace or "?"
