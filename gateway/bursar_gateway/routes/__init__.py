"""All routes of the gateway."""

from litestar import Router

from bursar_gateway.auth import require_key
from bursar_gateway.routes import (
    allowances,
    approvals,
    audit,
    budgets,
    capabilities,
    copies,
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

__all__ = ["HANDLERS", "with_large_bodies"]

HANDLERS = [
    *health.HANDLERS,
    Router(
        path="/v1",
        guards=[require_key],
        route_handlers=[
            *workspaces.HANDLERS,
            *sessions.HANDLERS,
            *copies.HANDLERS,
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


def with_large_bodies(max_bytes: int) -> Router:
    """The routes whose bodies may be larger than others', up to so many bytes."""
    return Router(
        path="/v1",
        guards=[require_key],
        request_max_body_size=max_bytes,
        route_handlers=[copies.import_session],
    )
