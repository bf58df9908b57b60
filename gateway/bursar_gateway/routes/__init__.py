"""All routes of the gateway."""

from litestar import Router

from bursar_gateway.auth import require_key
from bursar_gateway.routes import (
    allowances,
    approvals,
    audit,
    budgets,
    capabilities,
    health,
    keys,
    ledger,
    manifests,
    policies,
    sessions,
    signing_keys,
    streams,
    turns,
    webhooks,
    workspaces,
)

__all__ = ["HANDLERS"]

HANDLERS = [
    *health.HANDLERS,
    Router(
        path="/v1",
        guards=[require_key],
        route_handlers=[
            *workspaces.HANDLERS,
            *sessions.HANDLERS,
            *turns.HANDLERS,
            *streams.HANDLERS,
            *budgets.HANDLERS,
            *ledger.HANDLERS,
            *audit.HANDLERS,
            *approvals.HANDLERS,
            *allowances.HANDLERS,
            *policies.HANDLERS,
            *capabilities.HANDLERS,
            *keys.HANDLERS,
            *signing_keys.HANDLERS,
            *manifests.HANDLERS,
            *webhooks.HANDLERS,
        ],
    ),
]
