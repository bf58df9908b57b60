"""Accounts as tables: one row an account, without columns in which nothing stands.

Amounts are never cut: where a row does not fit into the terminal it becomes a block.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bursar.cli.output import ago, ahead, bar, command, fitting_table, make_table, tokens
from bursar.money import usd

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bursar.client import AccountView, BudgetQuestion

__all__ = ["accounts_table", "limit_words", "questions_table", "raise_words", "used_bar"]

_COLUMNS = (
    "account", "posted>", "pending>", "kept>", "available>", "limit>", "used", "tokens>",
    "waiting>", "state", "resets",
)  # fmt: skip
_ALWAYS = 6
"""So many columns are there even if they are empty."""
_QUESTIONS = ("account", "since", "state", "available>", "limit>", "needs>", "waiting>", "turns")


def accounts_table(accounts: Sequence["AccountView"]) -> "RenderableType":
    """What is spent, held, kept back and left of each, how full it is, and what is up with it."""
    rows = [_cells(account) for account in accounts]
    kept = [
        index
        for index in range(len(_COLUMNS))
        if index < _ALWAYS or any(row[index] for row in rows)
    ]
    return fitting_table([_COLUMNS[i] for i in kept], [[row[i] for i in kept] for row in rows])


def _cells(account: "AccountView") -> list[str]:
    return [
        account.account,
        usd(account.posted_microusd),
        usd(account.pending_microusd),
        usd(account.kept_microusd),
        limit_words(account.available_microusd),
        limit_words(account.limit_microusd),
        used_bar(account),
        _tokens(account),
        str(account.waiting or ""),
        _state(account),
        "" if account.resets_ms is None else f"{ahead(account.resets_ms)}, each {account.period}",
    ]


def limit_words(limit_microusd: int | None) -> str:
    return "unlimited" if limit_microusd is None else usd(limit_microusd)


def raise_words(account: str, workspace: str, *, unit: str = "") -> str:
    """The command that raises the limit of an account, but for the amount."""
    kind, _, name = account.partition(":")
    option = {"s": f" --session {name}", "user": f" --user {name}"}.get(kind, "")
    amount = "--token-limit COUNT" if unit == "tokens" else "USD"
    return command(f"budget set {amount}{option}", workspace)


def used_bar(account: "AccountView") -> str:
    """How full it is, what is held included; empty without a limit."""
    if account.limit_microusd is None:
        return ""
    used = account.posted_microusd + account.pending_microusd
    return bar(used, account.limit_microusd, account.warn_percent)


def _tokens(account: "AccountView") -> str:
    if account.token_limit is None:
        return ""
    used = account.tokens_posted + account.tokens_pending
    return f"{tokens(used)} of {tokens(account.token_limit)}"


def _state(account: "AccountView") -> str:
    if account.frozen:
        return f"[red]frozen[/], {usd(account.overrun_microusd)} over"
    return "" if account.asked_ms is None else "[yellow]ran dry[/]"


def questions_table(questions: Sequence["BudgetQuestion"]) -> "RenderableType":
    """Accounts that wait for an answer, and the turns that wait for them."""
    rows = []
    for question in questions:
        account, first = question.account, question.turns[:1]
        shown = ", ".join(f"{turn.turn} of {turn.session}" for turn in question.turns[:2])
        more = account.waiting - len(question.turns[:2])
        rows.append(
            [
                account.account,
                "" if account.asked_ms is None else ago(account.asked_ms),
                _state(account),
                limit_words(account.available_microusd),
                limit_words(account.limit_microusd),
                usd(first[0].needs_microusd) if first else "",
                str(account.waiting),
                f"{shown} and {more} more" if more > 0 and shown else shown,
            ]
        )
    if not rows:
        return make_table(_QUESTIONS, rows, empty="no account waits for an answer")
    return fitting_table(_QUESTIONS, rows)
