"""All routes of the gateway."""

from litestar import Router

from bursar_gateway.auth import require_key
from bursar_gateway.routes import (
    budgets,
    health,
    keys,
    ledger,
    sessions,
    streams,
    turns,
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
            *keys.HANDLERS,
        ],
    ),
]
