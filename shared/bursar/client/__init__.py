"""Clients of a gateway: `Client` for plain code, `AsyncClient` for code with an event loop.

    with Client(api_key="bk_…", workspace="acme") as client:
        session = client.create_session("reader", workspace_path="reports")
        for event in client.stream(session, "Summarise the reports."):
            print(event.kind, event.data)

Both have the same methods. What the gateway refuses is raised as a `BursarError`.
"""

from bursar.client.approval_views import (
    AllowanceView,
    ApprovalView,
    ImportedAllowances,
    NewAllowance,
    OutsidePlace,
    RevokedAllowances,
)
from bursar.client.asynchronous import AsyncClient
from bursar.client.asynchronous_streams import AsyncEventStream, AsyncTurnStream
from bursar.client.audit_views import (
    AcceptedAudit,
    AuditEntry,
    AuditPage,
    AuditSeal,
    AuditState,
    TrimmedAudit,
)
from bursar.client.budget_views import (
    AccountView,
    BudgetAudit,
    BudgetQuestion,
    Checkpoint,
    DeniedTurns,
    Difference,
    LimitChange,
    SessionBudget,
    Spender,
    Spending,
    TrimmedLedger,
    WaitingTurn,
)
from bursar.client.capability_views import (
    CapabilityInspection,
    CapabilityView,
    MintedCapability,
    OutsidePath,
    SigningKeyView,
)
from bursar.client.installation_views import InstallationView, WorkspaceLoad
from bursar.client.job_views import ItemResult, JobInput, JobPage, JobView
from bursar.client.mcp_views import AcceptedManifest, Look, ManifestView
from bursar.client.policy_views import MatchingRule, PolicyExplanation, PolicyView
from bursar.client.streams import EventStream, TurnStream
from bursar.client.sync import Client
from bursar.client.tree_views import Purse, TreeNode, TreeTotals, TreeView
from bursar.client.views import (
    AcceptedTurn,
    AddedMessage,
    AgentView,
    ApiKeyView,
    ClientEvent,
    NewApiKey,
    Readiness,
    SessionPage,
    SessionView,
    TurnResult,
    TurnView,
    WorkerView,
    WorkspaceView,
)
from bursar.client.webhook_views import (
    DeadMessage,
    Deliveries,
    DeliveryAttempt,
    SentTest,
    WebhookSecret,
    WebhookView,
)

__all__ = [
    "AcceptedAudit",
    "AcceptedManifest",
    "AcceptedTurn",
    "AccountView",
    "AddedMessage",
    "AgentView",
    "AllowanceView",
    "ApiKeyView",
    "ApprovalView",
    "AsyncClient",
    "AsyncEventStream",
    "AsyncTurnStream",
    "AuditEntry",
    "AuditPage",
    "AuditSeal",
    "AuditState",
    "BudgetAudit",
    "BudgetQuestion",
    "CapabilityInspection",
    "CapabilityView",
    "Checkpoint",
    "Client",
    "ClientEvent",
    "DeadMessage",
    "Deliveries",
    "DeliveryAttempt",
    "DeniedTurns",
    "Difference",
    "EventStream",
    "ImportedAllowances",
    "InstallationView",
    "ItemResult",
    "JobInput",
    "JobPage",
    "JobView",
    "LimitChange",
    "Look",
    "ManifestView",
    "MatchingRule",
    "MintedCapability",
    "NewAllowance",
    "NewApiKey",
    "OutsidePath",
    "OutsidePlace",
    "PolicyExplanation",
    "PolicyView",
    "Purse",
    "Readiness",
    "RevokedAllowances",
    "SentTest",
    "SessionBudget",
    "SessionPage",
    "SessionView",
    "SigningKeyView",
    "Spender",
    "Spending",
    "TreeNode",
    "TreeTotals",
    "TreeView",
    "TrimmedAudit",
    "TrimmedLedger",
    "TurnResult",
    "TurnStream",
    "TurnView",
    "WaitingTurn",
    "WebhookSecret",
    "WebhookView",
    "WorkerView",
    "WorkspaceLoad",
    "WorkspaceView",
]
