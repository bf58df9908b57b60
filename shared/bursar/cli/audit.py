"""``bursar audit``: is everything as the records say?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli import audit_log, audit_verify
from bursar.cli.options import AsJson, connect
from bursar.cli.output import console, make_table, print_json, tokens, watch

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bursar.client import BudgetAudit

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Read and verify the audit log; check the books.")
for command in (
    audit_verify.verify,
    audit_log.tail,
    audit_log.export,
    audit_log.trim,
    audit_log.accept,
):
    app.command()(command)

_EVERY_S = 2.0
_AUDIT_S = 600.0  # of a workspace with a very long ledger


@app.command()
def budgets(
    ctx: typer.Context,
    workspaces: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORKSPACE]...", help="Which; all, if none is given."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--watch", help="Look again each two seconds, until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute every account anew from the ledger and the open holds, and name what differs.

    It is exact while everything runs. Status 1 if anything differs. For administrators.

    Example: bursar audit budgets acme beta
    """
    rounds = _Rounds(ctx, workspaces or [])
    try:
        if live:
            watch(rounds.look, _drawn, every_s=_EVERY_S, as_json=as_json)
        found = rounds.look()
        if as_json:
            print_json(found)
        else:
            console().print(_drawn(found))
    except KeyboardInterrupt:
        if not rounds.wrong:
            raise
    if rounds.wrong:
        raise typer.Exit(1)


class _Rounds:
    """Audits again and again, and remembers whether anything was ever wrong."""

    def __init__(self, ctx: typer.Context, workspaces: Sequence[str]) -> None:
        self.wrong = False
        self._ctx = ctx
        self._workspaces = workspaces

    def look(self) -> "list[BudgetAudit]":
        names = self._workspaces
        if not names:
            with connect(self._ctx) as client:
                names = [view.id for view in client.list_workspaces()]
        found = []
        for name in names:
            with connect(self._ctx, name, timeout_s=_AUDIT_S) as client:
                found.append(client.audit_budget())
        self.wrong = self.wrong or not all(audit.ok for audit in found)
        return found


def _drawn(found: "Sequence[BudgetAudit]") -> "RenderableType":
    from rich.console import Group

    rows = [
        [
            audit.workspace,
            tokens(audit.accounts),
            tokens(audit.holds),
            tokens(audit.entries),
            "[green]ok[/]" if audit.ok else f"[red]{len(audit.differences)} wrong[/]",
        ]
        for audit in found
    ]
    columns = ["workspace", "accounts>", "open holds>", "ledger entries>", "result"]
    wrong = [
        [
            f"{audit.workspace} {one.account}".strip(),
            one.field,
            str(one.expected),
            str(one.found),
        ]
        for audit in found
        for one in audit.differences
    ]
    table = make_table(columns, rows, empty="no workspaces")
    if not wrong:
        return table
    return Group(table, "", make_table(["account", "what", "expected>", "found>"], wrong, empty=""))
