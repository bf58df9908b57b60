"""Connects to endpoints of tenants, and nowhere else: see `bursar.egress` for what is allowed.

A name is resolved once a connection. All its addresses are looked at, and the connection is made to
one of these very addresses; so an answer of the DNS that changes in between changes nothing. TLS,
its check of the certificate and the Host header go by the name, because the layers above never see
an address.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpcore
import httpx

from bursar.egress import Address, Egress
from bursar.errors import InvalidInput

__all__ = ["AddressRefused", "GuardedNetwork", "Resolve", "SystemResolver", "tls_context"]

_TRIED_MAX = 3  # addresses of one name, so that a long list of dead ones costs no more
_RESOLVING_MAX = 32  # names at a time; one whose servers are silent takes a thread for long

Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""All addresses of a host, which may be an address itself. Raises `OSError`."""


class AddressRefused(Exception):
    """A name leads to where no tenant may connect."""


class SystemResolver:
    """Resolves as the machine does, on threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVING_MAX, thread_name_prefix="webhook-names")

    async def __call__(self, host: str, port: int) -> list[Address]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port)
        return list(dict.fromkeys(ip_address(str(place[0])) for *_, place in found))

    def close(self) -> None:
        """Not waited for: a silent server of names must not hold up the end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[Any]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """The network as httpcore uses it, with the part of it that is out of reach taken away."""

    def __init__(self, egress: Egress, resolve: Resolve) -> None:
        self._egress = egress
        self._resolve = resolve
        self._plain: Any = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (the signature is httpcore's)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises `AddressRefused`, `OSError` for a name that is none, and what httpcore raises."""
        addresses = await self._resolve(host, port)
        wrong = self._egress.refusal_of_any(addresses, port)
        if wrong:
            raise AddressRefused(f"{host}: {wrong}")
        failure: Exception = socket.gaierror(f"{host} has no address")
        for address in addresses[:_TRIED_MAX]:
            try:
                stream: httpcore.AsyncNetworkStream = await self._plain.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return stream
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise AddressRefused("a webhook has no business with a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await self._plain.sleep(seconds)


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Checks certificates and names by the public authorities, and by those of the operator.

    Raises:
        InvalidInput: the file cannot be read, or holds no certificate.

    """
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl's own errors are of that kind
            raise InvalidInput(
                f"expected a file of certificates: {error}", field="BURSAR_WEBHOOK_CA_FILE"
            ) from None
    return context
