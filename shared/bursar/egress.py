"""Where a gateway connects to because a tenant said so, and where not.

A tenant who names a URL speaks from within the operator's network, so what is not of the public
internet is out of reach: this machine, its neighbours, the metadata service of a cloud. A name is
judged by the addresses that it leads to at the moment of connecting, each of them; an address is
judged by what it means in the end, since IPv6 has several ways to say an IPv4 address.
"""

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Self
from urllib.parse import urlsplit

import msgspec

from bursar.errors import InvalidInput
from bursar.gate.hosts import host_and_port, is_private
from bursar.settings import GatewaySettings

__all__ = ["Address", "Egress", "Target", "unmapped"]

Address = IPv4Address | IPv6Address

MAX_URL = 2048
_UNFIT = re.compile(r"[^\x21-\x7e]|[\\<>\"^`{|}]")
_PORTS = {"https": 443, "http": 80}
_NAT64 = ip_network("64:ff9b::/96")
_EXAMPLES = ip_network("3fff::/20")
"""For documents only, which older versions of Python do not know."""


class Target(msgspec.Struct, frozen=True):
    """A URL as it is connected to: the host in its one form, without brackets."""

    scheme: str
    host: str
    port: int
    path: str


def unmapped(address: Address) -> Address:
    """The address that is meant by one that carries another: mapped, by NAT64, by 6to4."""
    while isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None:
            break
        address = inner
    return address


class Egress:
    """The operator's rules.

    Args:
        http: whether ``http`` is allowed beside ``https``, and with it port 80 beside 443.
        nets: networks that are allowed although they are not public, at any port.

    """

    def __init__(
        self, *, http: bool = False, nets: Iterable[IPv4Network | IPv6Network] = ()
    ) -> None:
        self.http = http
        self.nets = tuple(nets)

    @classmethod
    def of(cls, settings: GatewaySettings) -> Self:
        return cls(http=settings.webhook_http, nets=settings.webhook_allow_nets)

    def target(self, url: str, *, field: str = "url") -> Target:
        """Take a URL apart, as far as it may be allowed: a name is judged again by its addresses.

        Raises:
            InvalidInput: it is not a URL that can be allowed.

        """
        scheme, host, port, path = _parts(url, field)
        if scheme not in self._schemes:
            expected = " or ".join(f"{each}://…" for each in self._schemes)
            raise InvalidInput(f"expected {expected}", field=field)
        place = host_and_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", field=field)
        host = place.rpartition(":")[0].strip("[]")
        address = _address(host)
        if address is not None:
            wrong = self.refusal(address, port)
        elif self.nets:
            wrong = ""  # It may lead to one of them; which one shows when it is resolved.
        else:
            wrong = self._wrong_port(port) or (
                "expected a name of the public internet" if is_private(place) else ""
            )
        if wrong:
            raise InvalidInput(wrong, field=field)
        return Target(scheme, host, port, path)

    def refusal(self, address: Address, port: int) -> str:
        """What is wrong with connecting to an address; empty: nothing."""
        meant = unmapped(address)
        if any(each in net for net in self.nets for each in (address, meant)):
            return ""
        place = f"[{meant}]:{port}" if meant.version == 6 else f"{meant}:{port}"
        if is_private(place) or meant in _EXAMPLES:
            return "expected an address of the public internet"
        return self._wrong_port(port)

    def refusal_of_any(self, addresses: Iterable[Address], port: int) -> str:
        """The same for all addresses of a name: one that is wrong makes the name wrong."""
        return next(filter(None, (self.refusal(each, port) for each in addresses)), "")

    @property
    def _schemes(self) -> list[str]:
        return ["https", "http"] if self.http else ["https"]

    def _wrong_port(self, port: int) -> str:
        allowed = [_PORTS[scheme] for scheme in self._schemes]
        return "" if port in allowed else f"expected port {' or '.join(map(str, allowed))}"


def _parts(url: str, field: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path with query. A host outside of ASCII is as it was written."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidInput(f"expected a URL: {error}", field=field) from None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    rest = url.replace(parts.netloc, "", 1)
    if len(url) > MAX_URL or _UNFIT.search(rest):
        raise InvalidInput(
            f"expected at most {MAX_URL} characters that a URL may have", field=field
        )
    if not host:
        raise InvalidInput("expected a URL such as https://example.org/hook", field=field)
    if "@" in parts.netloc or "#" in url:
        raise InvalidInput("expected a URL without user, password and fragment", field=field)
    return parts.scheme, host, _PORTS.get(parts.scheme, 0) if port is None else port, path


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
