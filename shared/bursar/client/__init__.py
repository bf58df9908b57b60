"""Clients of a gateway: `Client` for plain code, `AsyncClient` for code with an event loop.

    with Client(api_key="bk_…", workspace="acme") as client:
        session = client.create_session("reader", workspace_path="reports")
        for event in client.stream(session, "Summarise the reports."):
            print(event.kind, event.data)

Both have the same methods. What the gateway refuses is raised as a `BursarError`.
"""

from bursar.client.asynchronous import AsyncClient, AsyncEventStream, AsyncTurnStream
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
from bursar.client.sync import Client, EventStream, TurnStream
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

__all__ = [
    "AcceptedTurn",
    "AccountView",
    "AddedMessage",
    "AgentView",
    "ApiKeyView",
    "AsyncClient",
    "AsyncEventStream",
    "AsyncTurnStream",
    "BudgetAudit",
    "BudgetQuestion",
    "Checkpoint",
    "Client",
    "ClientEvent",
    "DeniedTurns",
    "Difference",
    "EventStream",
    "LimitChange",
    "NewApiKey",
    "Readiness",
    "SessionBudget",
    "SessionPage",
    "SessionView",
    "Spender",
    "Spending",
    "TrimmedLedger",
    "TurnResult",
    "TurnStream",
    "TurnView",
    "WaitingTurn",
    "WorkerView",
    "WorkspaceView",
]
