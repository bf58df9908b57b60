"""Hosts and ports in one form, so that a rule holds however a place is written.

What a program connects to is not the text of a URL: ``HTTP://ann@0x7F.1:80/?@example.org`` is
``127.0.0.1:80``. Names are told by their text alone; what a name resolves to is known to whoever
connects, see `is_private`.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from bursar.errors import InvalidInput

__all__ = ["host_and_port", "host_pattern", "is_private", "net_action"]

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
_MAX_HOST = 253
_UNFIT = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[0-9]{1,5}")
_WILD_HOST = re.compile(r"[a-z0-9_.*?:\[\]-]+")
_WILD_PORT = re.compile(r"[0-9*?]{1,5}")

_LOCAL_SUFFIXES = (
    ".localhost", ".local", ".localdomain", ".internal", ".intranet", ".private", ".corp", ".home",
    ".lan", ".home.arpa",
)  # fmt: skip
_CLOSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments, and the metadata address of one provider
        "192.88.99.0/24",  # relays that are no more
        "168.63.129.16/32",  # the host of virtual machines at another provider
    )
)
_PUBLIC_V6 = ipaddress.ip_network("2000::/3")


def net_action(url: str) -> str:
    """Return the action of a tool that connects to ``url``: ``net://host:port``.

        @tool(action=lambda arguments: net_action(arguments["url"]))

    Only the host and the port count, as browsers and HTTP clients read them: in lower case, without
    user and password, names in their ASCII form, addresses as such. A tool that follows redirects
    goes to more places than the one that was judged; let it not.

    Raises:
        InvalidInput: It names no host or no port, or what programs read differently; ``field`` is
            ``url``.

    """
    if _UNFIT.search(url):
        raise InvalidInput("expected a URL without blanks and backslashes", field="url")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(f"expected a URL: {error}", field="url") from None
    if not host or not parts.scheme:
        raise InvalidInput("expected a URL such as https://example.org/path", field="url")
    port = _DEFAULT_PORTS.get(parts.scheme) if port is None else port
    if port is None:
        raise InvalidInput(f"expected a port, as {parts.scheme}: has none of its own", field="url")
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"net://{host_and_port(place, field='url')}"


def host_and_port(text: str, *, field: str) -> str:
    """Bring ``host:port`` into its one form.

    Raises:
        InvalidInput: It is not a host and a port.

    """
    host, _, port = text.rpartition(":")
    if not host or not _PORT.fullmatch(port) or not 1 <= int(port) <= 65_535:
        raise InvalidInput("expected host:port", field=field)
    return f"{_host(host, field)}:{int(port)}"


def host_pattern(text: str) -> str:
    """The same for a pattern, in which host and port may have wildcards."""
    if text == "**":
        return text
    if not set(text) & set("*?\\"):
        return host_and_port(text, field="pattern")
    host, _, port = text.rpartition(":")
    host = re.sub(r"\.$", "", host.lower())
    if not _WILD_HOST.fullmatch(host) or not _WILD_PORT.fullmatch(port):
        raise InvalidInput(
            "expected host:port, with names in ASCII where there are wildcards", field="pattern"
        )
    return f"{host}:{port}"


def is_private(place: str) -> bool:
    """Whether ``host:port`` in its one form is of this machine, its network or its metadata.

    So are names without a dot and those that are kept for local use: they mean something only in
    the network where they are asked for. A public name may still lead to a private address; whoever
    connects has to look at the address, too.
    """
    host = place.rpartition(":")[0]
    address = _address(host)
    if address is not None:
        return not _is_public(address)
    return "." not in host or host.endswith(_LOCAL_SUFFIXES)


def _host(text: str, field: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        return _v6(text[1:-1], field)
    host = text.lower()
    if not host.isascii():
        host = _in_ascii(host, field)
    host = host.removesuffix(".")
    labels = host.split(".")
    if len(host) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidInput("expected the name or the address of a host", field=field)
    return _v4(labels, field) if _NUMBER.fullmatch(labels[-1]) else host


def _in_ascii(host: str, field: str) -> str:
    """As HTTP clients and browsers send it (UTS 46, not transitional)."""
    import idna

    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError as error:
        raise InvalidInput(f"expected the name of a host: {error}", field=field) from None


def _v4(labels: list[str], field: str) -> str:
    """An IPv4 address as the C library and URLs take it: ``127.1``, ``0x7f.0.0.1``, ``0177.1``."""
    wrong = InvalidInput("expected the name or the address of a host", field=field)
    if len(labels) > 4 or not all(_NUMBER.fullmatch(label) for label in labels):
        raise wrong
    numbers = []
    for label in labels:
        octal = label.startswith("0") and label.isdecimal() and len(label) > 1
        base = 16 if label.startswith("0x") else 8 if octal else 10
        try:
            numbers.append(int(label.removeprefix("0x") or "0", base))
        except ValueError:
            raise wrong from None
    *first, last = numbers
    if any(number > 255 for number in first) or last >= 256 ** (5 - len(numbers)):
        raise wrong
    value = sum(number << 8 * (3 - index) for index, number in enumerate(first)) + last
    return str(ipaddress.IPv4Address(value))


def _v6(text: str, field: str) -> str:
    if "%" in text:
        raise InvalidInput("expected an address without a zone", field=field)
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise InvalidInput("expected an IPv6 address in the brackets", field=field) from None
    mapped = address.ipv4_mapped
    return str(mapped) if mapped is not None else f"[{address.compressed}]"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address not in _PUBLIC_V6 or address.teredo is not None:
            return False
        inner = address.sixtofour
        return address.is_global and (inner is None or _is_public(inner))
    closed = any(address in network for network in _CLOSED)
    return address.is_global and not address.is_multicast and not closed
