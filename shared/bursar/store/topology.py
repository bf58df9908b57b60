"""Which servers a URL stands for: one, the one that Sentinels name, or a Cluster.

Plain parsing, so that settings can be checked without a Redis client:

    redis://user:password@host:6379/0
    redis+sentinel://user:password@host:26379,host:26379/service/0
    redis+cluster://user:password@host:6379,host:6379

``rediss`` in place of ``redis`` means TLS. Options behind ``?`` go to redis-py as they are, but for
``sentinel_username`` and ``sentinel_password``: Sentinels have users of their own.
"""

from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

__all__ = ["Address", "Topology", "redacted"]

Address = tuple[str, int]

_PLAIN = {"redis", "rediss", "unix"}
_DEFAULT_PORT = {"sentinel": 26379, "cluster": 6379}
_UNKNOWN = "{!r} is no kind of URL; redis://, redis+sentinel:// and redis+cluster:// are"
_SENTINEL_USER = ("sentinel_username", "sentinel_password")


class Topology(msgspec.Struct, frozen=True):
    """A URL taken apart. ``nodes`` are those to ask first: Sentinels, or members of the Cluster."""

    kind: Literal["standalone", "sentinel", "cluster"]
    url: str
    nodes: tuple[Address, ...] = ()
    service: str = ""
    database: int = 0

    @classmethod
    def parse(cls, url: str) -> "Topology":
        """Raises `ValueError` that says what is wrong and what it should look like."""
        scheme, _, rest = url.partition("://")
        _, plus, kind = scheme.partition("+")
        if not plus and scheme in _PLAIN:
            return cls("standalone", url)
        hosts, _, path = rest.partition("?")[0].rpartition("@")[2].partition("/")
        if plus and scheme.partition("+")[0] not in _PLAIN:
            raise ValueError(_UNKNOWN.format(scheme))
        if kind == "sentinel":
            service, _, database = path.partition("/")
            if not service:
                raise ValueError("expected redis+sentinel://host:port,host:port/service/database")
            return cls("sentinel", url, _nodes(hosts, kind), service, _number(database or "0"))
        if kind == "cluster":
            if path not in {"", "0"}:
                raise ValueError(f"a Cluster has database 0 only, not {path!r}")
            return cls("cluster", url, _nodes(hosts, kind))
        raise ValueError(_UNKNOWN.format(scheme))

    def server_url(self, address: Address) -> str:
        """A plain URL of one server that holds data."""
        user = self.url.partition("://")[2].partition("?")[0].rpartition("@")[0]
        return self._plain(user, address, self.database)

    def sentinel_url(self, address: Address) -> str:
        """A plain URL of one of the Sentinels, which have no databases."""
        name, password = (quote(self._options().get(part, "")) for part in _SENTINEL_USER)
        return self._plain(f"{name}:{password}" if password else "", address, 0)

    def with_database(self, number: int) -> str:
        """The URL of another database of the same servers; a Cluster has none."""
        head, mark, query = self.url.partition("?")
        scheme, _, rest = head.partition("://")
        user, at, place = rest.rpartition("@")
        hosts = place.partition("/")[0]
        service = f"/{self.service}" if self.service else ""
        return f"{scheme}://{user}{at}{hosts}{service}/{number}{mark}{query}"

    def _plain(self, user: str, address: Address, database: int) -> str:
        scheme = self.url.partition("://")[0].partition("+")[0]
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        at = f"{user}@" if user else ""
        options = {k: v for k, v in self._options().items() if k not in _SENTINEL_USER}
        query = f"?{urlencode(options)}" if options else ""
        return f"{scheme}://{at}{host}:{address[1]}/{database}{query}"

    def _options(self) -> dict[str, str]:
        return dict(parse_qsl(self.url.partition("?")[2]))


def redacted(url: str) -> str:
    """A URL without its user, password and options, for messages."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _nodes(hosts: str, kind: str) -> tuple[Address, ...]:
    if not hosts:
        raise ValueError("no host is given")
    return tuple(_address(host, _DEFAULT_PORT[kind]) for host in hosts.split(","))


def _address(text: str, default_port: int) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default_port)
    if not host:
        raise ValueError(f"{text!r} names no host")
    return host.strip("[]"), _number(port)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise ValueError(f"{text!r} is no port or database number")
    return int(text)
