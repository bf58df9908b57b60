"""The Litestar application of one `Gateway`."""

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ASGIApp

from bursar_gateway.edge import Edge
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import CONFIG
from bursar_gateway.problems import respond
from bursar_gateway.requests import JsonRequest
from bursar_gateway.routes import HANDLERS, with_large_bodies

__all__ = ["build", "build_routes"]


def build(gateway: Gateway) -> ASGIApp:
    """The whole application as a server runs it."""
    return Edge(build_routes(gateway), allowed_hosts=gateway.settings.allowed_hosts)


def build_routes(gateway: Gateway) -> Litestar:
    return Litestar(
        [*HANDLERS, *with_large_bodies(gateway.settings)],
        state=State({"gateway": gateway}),
        dependencies={"gateway": Provide(lambda: gateway, sync_to_thread=False)},
        exception_handlers={Exception: respond},
        openapi_config=CONFIG,
        request_class=JsonRequest,
        request_max_body_size=gateway.settings.max_body_bytes,
        logging_config=None,
    )
