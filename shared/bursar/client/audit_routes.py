"""The gateway's routes about audit logs. See `bursar.client.routes`."""

from types import NoneType

from bursar.client.audit_views import (
    AcceptedAudit,
    AuditPage,
    AuditSeal,
    AuditState,
    TrimmedAudit,
)
from bursar.client.calls import Call
from bursar.client.places import Places, given

__all__ = ["AuditRoutes"]

_OURS = "/v1/audit"


class AuditRoutes(Places):
    """Builds the requests about a workspace's audit log, and about the installation's."""

    def list_audit(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
        session: str | None = None,
        action: str | None = None,
        decision: str | None = None,
    ) -> Call[AuditPage]:
        """The newest entries, newest first; with ``after`` those behind one, oldest first."""
        params = given(
            after=after,
            before=before,
            limit=limit,
            session=session,
            action=action,
            decision=decision,
        )
        path = self._in_workspace("/audit")
        return Call(method="GET", path=path, kind=AuditPage, params=params)

    def list_installation_audit(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
        action: str | None = None,
        decision: str | None = None,
    ) -> Call[AuditPage]:
        """The same of what is of no workspace; needs an administrator's key."""
        params = given(after=after, before=before, limit=limit, action=action, decision=decision)
        return Call(method="GET", path=_OURS, kind=AuditPage, params=params)

    def get_audit_head(self) -> Call[AuditState]:
        """How far the log goes and is sealed."""
        return Call(method="GET", path=self._in_workspace("/audit/head"), kind=AuditState)

    def get_installation_audit_head(self) -> Call[AuditState]:
        return Call(method="GET", path=f"{_OURS}/head", kind=AuditState)

    def list_audit_seals(
        self, *, after: int | None = None, limit: int | None = None
    ) -> Call[list[AuditSeal]]:
        """Seals that end behind an entry, oldest first."""
        path, params = self._in_workspace("/audit/seals"), given(after=after, limit=limit)
        return Call(method="GET", path=path, kind=list[AuditSeal], params=params)

    def list_installation_audit_seals(
        self, *, after: int | None = None, limit: int | None = None
    ) -> Call[list[AuditSeal]]:
        params = given(after=after, limit=limit)
        return Call(method="GET", path=f"{_OURS}/seals", kind=list[AuditSeal], params=params)

    def export_audit(self, *, unsealed: bool = False) -> Call[None]:
        return _export(self._in_workspace("/audit/export"), unsealed=unsealed)

    def export_installation_audit(self, *, unsealed: bool = False) -> Call[None]:
        return _export(f"{_OURS}/export", unsealed=unsealed)

    def trim_audit(self, to_seq: int, head: str) -> Call[TrimmedAudit]:
        """Drop entries up to one with which an exported seal ends; needs an administrator's key.

        Args:
            head: the chain's head after it, as the export has it.

        """
        path, body = self._in_workspace("/audit/trim"), {"to_seq": to_seq, "head": head}
        return Call(method="POST", path=path, kind=TrimmedAudit, body=body)

    def trim_installation_audit(self, to_seq: int, head: str) -> Call[TrimmedAudit]:
        body = {"to_seq": to_seq, "head": head}
        return Call(method="POST", path=f"{_OURS}/trim", kind=TrimmedAudit, body=body)

    def accept_audit(self, reason: str) -> Call[AcceptedAudit]:
        """Take the log as it is after a loss of data; needs an administrator's key."""
        path, body = self._in_workspace("/audit/accept"), {"reason": reason}
        return Call(method="POST", path=path, kind=AcceptedAudit, body=body)

    def accept_installation_audit(self, reason: str) -> Call[AcceptedAudit]:
        body = {"reason": reason}
        return Call(method="POST", path=f"{_OURS}/accept", kind=AcceptedAudit, body=body)


def _export(path: str, *, unsealed: bool) -> Call[None]:
    params = {"unsealed": "true"} if unsealed else {}
    return Call(method="GET", path=path, kind=NoneType, params=params)
