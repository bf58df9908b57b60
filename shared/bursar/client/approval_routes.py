"""The gateway's routes about questions to people, and what they allowed. See `client.routes`."""

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

from bursar.client.approval_views import (
    AllowanceView,
    ApprovalView,
    ImportedAllowances,
    NewAllowance,
    RevokedAllowances,
)
from bursar.client.calls import Call
from bursar.client.places import Places, given, id_of
from bursar.client.views import SessionView
from bursar.errors import InvalidInput

__all__ = ["ApprovalRoutes"]


class ApprovalRoutes(Places):
    """Builds the requests about approvals and allowances."""

    def list_approvals(
        self, *, root: str | SessionView | None = None, session: str | SessionView | None = None
    ) -> Call[list[ApprovalView]]:
        """Open questions of the workspace, the most urgent first.

        Args:
            root: only those of the whole tree that this session is the root of.
            session: only those of this session.

        """
        params = given(root=_plain(root), session=_plain(session))
        path = self._in_workspace("/approvals")
        return Call(method="GET", path=path, kind=list[ApprovalView], params=params)

    def list_session_approvals(self, session: str | SessionView) -> Call[list[ApprovalView]]:
        """Open questions of a session and of all sessions below it."""
        return Call(method="GET", path=self._of(session, "/approvals"), kind=list[ApprovalView])

    def approval_events(self, *, root: str | SessionView | None = None) -> Call[None]:
        params = given(root=_plain(root))
        path = self._in_workspace("/approvals/events")
        return Call(method="GET", path=path, kind=NoneType, params=params)

    def get_approval(self, approval: str) -> Call[ApprovalView]:
        """One question, open or not; it stays for a week after its end."""
        return Call(method="GET", path=self._approval(approval), kind=ApprovalView)

    def answer_approval(
        self,
        approval: str | ApprovalView,
        decision: str,
        *,
        arguments_sha256: str | None = None,
        scope: str | None = None,
        allowance: NewAllowance | None = None,
        arguments: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> Call[ApprovalView]:
        """Answer a question; exactly one answer counts. Needs an approver's key.

        Args:
            decision: ``approve``, ``deny``, or ``defer`` if nobody can decide now.
            arguments_sha256: of the question as it was seen; taken from the question if that is
                given instead of an id.
            scope: what to allow beyond this call: nothing (``once``, the default), such calls in
                the ``session``, its ``tree`` or the ``workspace``, or for 30 days (``always``).
            allowance: what to allow beyond this call instead.
            arguments: run the call with these.
            reason: for the agent and the audit log.

        Raises:
            Conflict: from the clients: ``already_answered``, whose ``details`` say by whom and
                what; ``approval_closed``; ``other_call`` if other arguments were seen.

        """
        if isinstance(approval, ApprovalView):
            arguments_sha256 = arguments_sha256 or approval.arguments_sha256
            approval = approval.id
        if arguments_sha256 is None:
            raise InvalidInput(
                "expected that of the question as you saw it", field="arguments_sha256"
            )
        body = {"decision": decision, "arguments_sha256": arguments_sha256} | given(
            scope=scope, allowance=allowance, arguments=arguments, reason=reason
        )
        return Call(method="POST", path=self._approval(approval), kind=ApprovalView, body=body)

    # -- allowances

    def list_allowances(
        self, *, session: str | SessionView | None = None
    ) -> Call[list[AllowanceView]]:
        """Allowances of the workspace; with a session also those that count in it."""
        path, params = self._in_workspace("/allowances"), given(session=_plain(session))
        return Call(method="GET", path=path, kind=list[AllowanceView], params=params)

    def create_allowance(self, wish: NewAllowance) -> Call[AllowanceView]:
        """Let such calls run without a question. Needs an approver's key."""
        path = self._in_workspace("/allowances")
        return Call(method="POST", path=path, kind=AllowanceView, body=wish)

    def revoke_allowance(
        self, allowance: str, *, session: str | SessionView | None = None
    ) -> Call[None]:
        """Revoke one; the next such call is asked about.

        Args:
            session: of the tree that it is of; not for one of the workspace.

        """
        path = self._in_workspace(f"/allowances/{id_of(allowance)}")
        params = given(session=_plain(session))
        return Call(method="DELETE", path=path, kind=NoneType, params=params)

    def revoke_allowances(
        self, scope: str, *, session: str | SessionView | None = None
    ) -> Call[RevokedAllowances]:
        """Revoke all of the ``workspace``, or of a session's ``tree``, or of the ``session``."""
        path = self._in_workspace("/allowances/revoke")
        body = {"scope": scope} | given(session=_plain(session))
        return Call(method="POST", path=path, kind=RevokedAllowances, body=body)

    def export_allowances(self) -> Call[list[AllowanceView]]:
        """The workspace's own allowances, as `import_allowances` takes them."""
        path = self._in_workspace("/allowances/export")
        return Call(method="GET", path=path, kind=list[AllowanceView])

    def import_allowances(self, entries: Sequence[AllowanceView]) -> Call[ImportedAllowances]:
        """Take allowances that were exported. What was revoked or used up here stays so."""
        path, body = self._in_workspace("/allowances/import"), {"entries": list(entries)}
        return Call(method="POST", path=path, kind=ImportedAllowances, body=body)

    def _approval(self, approval: str) -> str:
        return self._in_workspace(f"/approvals/{id_of(approval)}")


def _plain(session: str | SessionView | None) -> str | None:
    return session.id if isinstance(session, SessionView) else session
