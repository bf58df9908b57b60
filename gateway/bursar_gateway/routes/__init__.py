"""All routes of the gateway."""

from litestar import Router
from litestar.types import ControllerRouterHandler

from bursar.settings import GatewaySettings
from bursar_gateway.auth import require_key
from bursar_gateway.routes import (
    allowances,
    approvals,
    audit,
    budgets,
    capabilities,
    copies,
    health,
    jobs,
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
            *jobs.HANDLERS,
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


def with_large_bodies(settings: GatewaySettings) -> list[Router]:
    """The routes that take larger bodies than all others, each up to a size of its own."""
    return [
        _with_bodies(settings.max_import_bytes, [copies.import_session]),
        _with_bodies(settings.max_job_body_bytes, jobs.LARGE),
    ]


def _with_bodies(max_bytes: int, handlers: list[ControllerRouterHandler]) -> Router:
    return Router(
        path="/v1",
        guards=[require_key],
        request_max_body_size=max_bytes,
        route_handlers=handlers,
    )
