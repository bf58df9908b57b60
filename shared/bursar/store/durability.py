"""Durability profiles: what a server must be set to, so that what it acknowledged is not lost.

``dev`` asks for nothing. ``standard`` asks for an append-only file. ``strict`` asks that what must
not be lost is on disk, and on replicas, before it is acknowledged (`waits_for` says what that is,
`bursar.store.waiting` does it).
"""

import logging
from collections.abc import Iterator
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from bursar.errors import StoreUnavailable, StoreUnfit
from bursar.settings import Settings
from bursar.store.codec import hash_fields, text
from bursar.store.redis import RedisClient
from bursar.store.waiting import Waits

__all__ = ["Durability", "Facts", "Mismatch", "compare", "enforce", "examine", "waits_for"]

_CAN_WAIT_FOR_DISK = (7, 2)
_MAX_LAG_S = 10
_SETTINGS = (
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "min-replicas-to-write",
    "min-replicas-max-lag",
)
"""Read with CONFIG GET; INFO tells the rest."""

logger = logging.getLogger(__name__)


class Facts(msgspec.Struct, frozen=True):
    """What a server says about itself. ``config`` is None if it forbids CONFIG GET."""

    version: tuple[int, ...]
    aof: bool
    policy: str
    replicas: int
    config: dict[str, str] | None

    @property
    def can_wait_for_disk(self) -> bool:
        return self.version >= _CAN_WAIT_FOR_DISK


class Mismatch(msgspec.Struct, frozen=True):
    """One setting that is not as the profile wants it.

    ``refused`` says that a production process does not start with it: it will not pass by itself,
    and it is not merely unknown.
    """

    setting: str
    value: str
    expected: str
    server: str = ""
    refused: bool = True

    def __str__(self) -> str:
        where = f" at {self.server}" if self.server else ""
        return f"{self.setting}{where} is {self.value}, expected {self.expected}"


class Durability(msgspec.Struct, frozen=True):
    """A profile, and what of it the servers do not fulfil."""

    profile: str
    mismatches: tuple[Mismatch, ...] = ()
    can_wait_for_disk: bool = False


async def examine(client: RedisClient, settings: Settings) -> Durability:
    """Compare each server's real configuration with the profile. One that is away is a mismatch."""
    profile = settings.durability
    if profile == "dev":
        return Durability(profile)
    found: list[Mismatch] = []
    can_wait = True
    servers = await client.servers()
    for name, server in servers.items():
        where = name if len(servers) > 1 else ""
        try:
            facts = await _read(server)
        except StoreUnavailable as error:
            found.append(Mismatch("INFO", f"not there ({error})", "an answer", where, False))
            continue
        can_wait = can_wait and facts.can_wait_for_disk
        wrong = compare(facts, profile, settings.wait_replicas)
        found += [msgspec.structs.replace(each, server=where) for each in wrong]
    return Durability(profile, tuple(found), can_wait)


async def _read(server: RedisClient) -> Facts:
    info: dict[str, Any] = await server.call("INFO")
    config: dict[str, str] | None = None
    try:
        reply = await server.call("CONFIG", "GET", *_SETTINGS)
    except (StoreUnfit, ResponseError) as error:
        logger.info("the server forbids CONFIG GET: %s", error)
    else:
        found = reply if isinstance(reply, dict) else hash_fields(reply)
        config = {text(name): text(value) for name, value in found.items()}
    return Facts(
        version=tuple(int(part) for part in str(info["redis_version"]).split(".")[:2]),
        aof=bool(int(info.get("aof_enabled", 0))),
        policy=str(info.get("maxmemory_policy", "unknown")),
        replicas=int(info.get("connected_slaves", 0)),
        config=config,
    )


def compare(facts: Facts, profile: str, wait_replicas: int) -> list[Mismatch]:
    """What a server lacks for a profile, in the words of its own configuration."""
    found: list[Mismatch] = []
    if not facts.aof:
        found.append(Mismatch("appendonly", "no", "yes"))
    if facts.policy != "noeviction":
        found.append(Mismatch("maxmemory-policy", facts.policy, "noeviction"))
    if profile == "strict":
        found += _strict(facts, wait_replicas)
    elif facts.config is None:
        found.append(_unread("appendfsync", "always or everysec", refused=False))
    elif facts.config["appendfsync"] == "no":
        found.append(Mismatch("appendfsync", "no", "always or everysec"))
    return found


def _strict(facts: Facts, wait_replicas: int) -> Iterator[Mismatch]:
    config = facts.config
    if config is None and not facts.can_wait_for_disk:
        yield _unread("appendfsync", "always")
    elif config is not None:
        fsync, rewrite = config["appendfsync"], config["no-appendfsync-on-rewrite"]
        if fsync == "no" or (fsync == "everysec" and not facts.can_wait_for_disk):
            expected = "always, or everysec on a server of 7.2 or newer, which can be waited for"
            yield Mismatch("appendfsync", fsync, expected)
        if rewrite != "no":
            yield Mismatch("no-appendfsync-on-rewrite", rewrite, "no")
    if not wait_replicas:
        return
    lag = f"1 to {_MAX_LAG_S}"
    if config is None:
        yield _unread("min-replicas-to-write", "1 or more")
        yield _unread("min-replicas-max-lag", lag)
    else:
        if int(config["min-replicas-to-write"]) < 1:
            yield Mismatch("min-replicas-to-write", "0", "1 or more")
        if not 1 <= int(config["min-replicas-max-lag"]) <= _MAX_LAG_S:
            yield Mismatch("min-replicas-max-lag", config["min-replicas-max-lag"], lag)
    if facts.replicas < wait_replicas:
        # They may be about to come back; until then nothing durable is acknowledged.
        yield Mismatch(
            "connected_slaves", str(facts.replicas), f"{wait_replicas} or more", refused=False
        )


def _unread(setting: str, expected: str, *, refused: bool = True) -> Mismatch:
    return Mismatch(setting, "unknown, as CONFIG GET is forbidden", expected, refused=refused)


def enforce(durability: Durability, settings: Settings) -> None:
    """Refuse or warn of servers that do not fulfil the profile.

    Raises:
        StoreUnfit: in production; names each setting, its value and what was expected.

    """
    wrong = durability.mismatches
    if not wrong:
        return
    message = f"BURSAR_DURABILITY={durability.profile} is not what Redis is set to: " + "; ".join(
        map(str, wrong)
    )
    if settings.env == "production" and any(each.refused for each in wrong):
        raise StoreUnfit(message, code="store_not_durable")
    logger.warning("%s", message)


def waits_for(durability: Durability, settings: Settings) -> Waits | None:
    """What durable writes wait for under the profile.

    Also for the disk with ``appendfsync always``: that costs little, as replies come after it
    anyway, and it holds after a failover to a server that is set otherwise.
    """
    if durability.profile != "strict":
        return None
    return Waits(
        fsync=durability.can_wait_for_disk,
        replicas=settings.wait_replicas,
        timeout_s=settings.redis_timeout_s,
    )
