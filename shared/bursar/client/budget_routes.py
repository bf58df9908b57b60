"""The gateway's routes about budgets and the ledger. See `bursar.client.routes`."""

from typing import Any

from bursar.client.budget_views import (
    AccountView,
    BudgetAudit,
    BudgetQuestion,
    Checkpoint,
    DeniedTurns,
    LimitChange,
    SessionBudget,
    Spending,
    TrimmedLedger,
)
from bursar.client.calls import Call
from bursar.client.places import Places, given
from bursar.client.views import SessionView
from bursar.ids import new_id

__all__ = ["BudgetRoutes"]


class BudgetRoutes(Places):
    """Builds the requests about money."""

    def get_session_budget(self, session: str | SessionView) -> Call[SessionBudget]:
        """The session's account and all those that its spending counts against."""
        return Call(method="GET", path=self._of(session, "/budget"), kind=SessionBudget)

    def set_session_budget(
        self, session: str | SessionView, change: LimitChange
    ) -> Call[AccountView]:
        """Change a session's limits; turns that wait for money go on. Safe to repeat."""
        path = self._of(session, "/budget")
        return Call(method="PATCH", path=path, kind=AccountView, body=change, key=new_id("idm"))

    def get_budget(self, *, user: str | None = None) -> Call[AccountView]:
        """The workspace's account, or one of its users'."""
        path, params = self._in_workspace("/budget"), given(user=user)
        return Call(method="GET", path=path, kind=AccountView, params=params)

    def set_budget(self, change: LimitChange, *, user: str | None = None) -> Call[AccountView]:
        """Change the limits of the workspace, or of one of its users. Safe to repeat."""
        path, params, key = self._in_workspace("/budget"), given(user=user), new_id("idm")
        return Call(
            method="PATCH", path=path, kind=AccountView, params=params, body=change, key=key
        )

    def set_session_period(
        self,
        session: str | SessionView,
        period: str,
        *,
        time_zone: str | None = None,
        resets_ms: int | None = None,
    ) -> Call[AccountView]:
        """As `set_budget_period`, for a session."""
        path, body = self._of(session, "/budget/period"), _period(period, time_zone, resets_ms)
        return Call(method="PUT", path=path, kind=AccountView, body=body, key=new_id("idm"))

    def set_budget_period(
        self,
        period: str,
        *,
        time_zone: str | None = None,
        resets_ms: int | None = None,
        user: str | None = None,
    ) -> Call[AccountView]:
        """Let what was spent count from zero again each ``day`` or ``month``, or never (``none``).

        Args:
            time_zone: whose midnight it is, such as ``Europe/Berlin``; UTC if not given.
            resets_ms: the first reset, Unix milliseconds; else the next midnight that fits.

        """
        path, body = self._in_workspace("/budget/period"), _period(period, time_zone, resets_ms)
        params, key = given(user=user), new_id("idm")
        return Call(method="PUT", path=path, kind=AccountView, params=params, body=body, key=key)

    def reset_session_budget(self, session: str | SessionView) -> Call[AccountView]:
        """Let a session's spending count from zero again, now. Safe to repeat."""
        path = self._of(session, "/budget/reset")
        return Call(method="POST", path=path, kind=AccountView, key=new_id("idm"))

    def reset_budget(self, *, user: str | None = None) -> Call[AccountView]:
        """The same for the workspace, or one of its users."""
        path, params = self._in_workspace("/budget/reset"), given(user=user)
        return Call(method="POST", path=path, kind=AccountView, params=params, key=new_id("idm"))

    def list_budget_questions(self) -> Call[list[BudgetQuestion]]:
        """Accounts that have run dry or are frozen, those that wait longest first."""
        path = self._in_workspace("/budget/questions")
        return Call(method="GET", path=path, kind=list[BudgetQuestion])

    def deny_budget(self, account: str, *, reason: str | None = None) -> Call[DeniedTurns]:
        """Give no more money: the turns that wait for an account end with what they have.

        Args:
            account: ``ws``, ``user:<id>`` or ``s:<session>``.

        """
        path, body = self._in_workspace("/budget/deny"), {"account": account} | given(reason=reason)
        return Call(method="POST", path=path, kind=DeniedTurns, body=body)

    # -- the ledger

    def get_ledger(
        self,
        *,
        limit: int = 100,
        after: str | None = None,
        before: str | None = None,
        since_ms: int | None = None,
    ) -> Call[list[dict[str, str]]]:
        """The newest ends of holds and changes of accounts, newest first.

        With ``after`` or ``before`` (each an ``entry``) or ``since_ms``: those in between, oldest
        first; the last one's ``entry`` is the ``after`` of the next page.
        """
        path = self._in_workspace("/budget/ledger")
        params = {"limit": limit} | given(after=after, before=before, since=since_ms)
        return Call(method="GET", path=path, kind=list[dict[str, str]], params=params)

    def get_spending(
        self,
        *,
        by: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        limit: int | None = None,
    ) -> Call[Spending]:
        """Who spent most, by ``session``, ``agent`` or ``model`` (with tools), from the ledger."""
        path = self._in_workspace("/budget/spenders")
        params = given(by=by, since=since_ms, until=until_ms, limit=limit)
        return Call(method="GET", path=path, kind=Spending, params=params)

    def audit_budget(self) -> Call[BudgetAudit]:
        """Compute every account of the workspace anew, and name what differs."""
        return Call(method="GET", path=self._in_workspace("/budget/audit"), kind=BudgetAudit)

    def checkpoint_ledger(self, *, force: bool | None = None) -> Call[Checkpoint]:
        """Write into the ledger what accounts have spent, so that the entries before may go.

        Args:
            force: also if the ledger does not add up to them.

        """
        path, body = self._in_workspace("/budget/checkpoint"), given(force=force)
        return Call(method="POST", path=path, kind=Checkpoint, body=body)

    def trim_ledger(self, checkpoint: str) -> Call[TrimmedLedger]:
        """Drop the entries before a checkpoint for good: store them elsewhere first."""
        path, body = self._in_workspace("/budget/trim"), {"checkpoint": checkpoint}
        return Call(method="POST", path=path, kind=TrimmedLedger, body=body)


def _period(period: str, time_zone: str | None, resets_ms: int | None) -> dict[str, Any]:
    return {"period": period} | given(time_zone=time_zone, resets_ms=resets_ms)
