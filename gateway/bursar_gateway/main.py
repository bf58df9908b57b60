"""`python -m bursar_gateway`: serve until told to stop."""

import asyncio
import logging
import signal
import sys

import uvloop

from bursar import failpoints
from bursar.errors import BursarError, InvalidInput
from bursar.settings import GatewaySettings, load_settings
from bursar_gateway.app import build
from bursar_gateway.gateway import open_gateway
from bursar_gateway.server import listen, make_server

__all__ = ["main", "serve"]

logger = logging.getLogger("bursar_gateway")

_STOP_WITHIN_S = 10.0


async def serve(settings: GatewaySettings) -> None:
    """Run one gateway until SIGTERM or SIGINT.

    Streams are ended first (their clients resume elsewhere), requests under way are answered.

    Raises:
        OSError: the address cannot be listened on.
        BursarError: the store cannot be used.

    """
    failpoints.arm(settings)
    listener = listen(settings.host, settings.port)
    try:
        gateway = await open_gateway(settings)
    except BaseException:
        listener.close()
        raise
    host = f"[{settings.host}]" if ":" in settings.host else settings.host

    def started() -> None:
        logger.info("gateway listening on http://%s:%d", host, listener.getsockname()[1])

    server = make_server(build(gateway), stop_within_s=_STOP_WITHIN_S, on_started=started)

    def stop() -> None:
        logger.info("stopping")
        gateway.hub.close()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await server.serve(sockets=[listener])
    finally:
        await gateway.aclose()


def main() -> None:
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        uvloop.run(serve(load_settings(GatewaySettings)))
    except InvalidInput as error:
        logger.error("%s", error)  # noqa: TRY400
        sys.exit(2)
    except BursarError as error:
        logger.error("cannot start: %s", error)  # noqa: TRY400
        sys.exit(1)
    except OSError as error:
        logger.error("cannot listen: %s", error)  # noqa: TRY400
        sys.exit(1)
