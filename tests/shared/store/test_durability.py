"""Durability profiles: what a server lacks is named, and production does not start with it."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar.embedded import EmbeddedServer
from bursar.errors import StoreUnavailable, StoreUnfit
from bursar.settings import Settings
from bursar.store.durability import Durability, Facts, Mismatch, compare, enforce, waits_for
from bursar.store.opening import open_store
from support.topologies import Replicated

GOOD = {
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "min-replicas-to-write": "1",
    "min-replicas-max-lag": "10",
}


def facts(config: dict[str, str] | None = None, **changes: Any) -> Facts:
    values: dict[str, Any] = {
        "version": (7, 2), "aof": True, "policy": "noeviction", "replicas": 1,
        "config": GOOD | (config or {}),
    }  # fmt: skip
    return Facts(**values | changes)


def lacks(profile: str, given: Facts, *, replicas: int = 1) -> dict[str, str]:
    return {each.setting: each.value for each in compare(given, profile, replicas)}


@pytest.mark.parametrize("fsync", ["always", "everysec"])
@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_a_server_that_writes_a_file_is_fit(profile: str, fsync: str) -> None:
    assert lacks(profile, facts({"appendfsync": fsync})) == {}


@pytest.mark.parametrize("profile", ["standard", "strict"])
@pytest.mark.parametrize(
    ("config", "changes", "missing"),
    [
        ({}, {"aof": False}, {"appendonly": "no"}),
        ({}, {"policy": "allkeys-lru"}, {"maxmemory-policy": "allkeys-lru"}),
        ({"appendfsync": "no"}, {}, {"appendfsync": "no"}),
    ],
)
def test_what_both_ask_for(
    profile: str, config: dict[str, str], changes: dict[str, Any], missing: dict[str, str]
) -> None:
    assert lacks(profile, facts(config, **changes)) == missing


@pytest.mark.parametrize(
    ("config", "changes", "missing"),
    [
        ({"appendfsync": "everysec"}, {"version": (7, 0)}, {"appendfsync": "everysec"}),
        ({"no-appendfsync-on-rewrite": "yes"}, {}, {"no-appendfsync-on-rewrite": "yes"}),
        ({"min-replicas-to-write": "0"}, {}, {"min-replicas-to-write": "0"}),
        ({"min-replicas-max-lag": "11"}, {}, {"min-replicas-max-lag": "11"}),
        # Zero switches the check off.
        ({"min-replicas-max-lag": "0"}, {}, {"min-replicas-max-lag": "0"}),
        ({}, {"replicas": 0}, {"connected_slaves": "0"}),
    ],
)
def test_what_strict_asks_for_beyond_that(
    config: dict[str, str], changes: dict[str, Any], missing: dict[str, str]
) -> None:
    assert lacks("strict", facts(config, **changes)) == missing
    assert lacks("standard", facts(config, **changes)) == {}


def test_one_server_alone_needs_no_replica_settings() -> None:
    alone = facts({"min-replicas-to-write": "0"}, replicas=0)
    assert lacks("strict", alone, replicas=0) == {}


def test_a_server_that_forbids_config_may_be_fit_by_what_info_says() -> None:
    managed = Facts((7, 2), True, "noeviction", 2, None)
    assert compare(managed, "strict", 0) == []
    assert {each.setting for each in compare(managed, "strict", 1)} == {
        "min-replicas-to-write", "min-replicas-max-lag"
    }  # fmt: skip
    old = Facts((7, 0), True, "noeviction", 2, None)
    assert [each.setting for each in compare(old, "strict", 0)] == ["appendfsync"]


def test_standard_only_warns_of_what_it_could_not_read(caplog: pytest.LogCaptureFixture) -> None:
    managed = Facts((7, 2), True, "noeviction", 0, None)
    wrong = tuple(compare(managed, "standard", 1))
    enforce(Durability("standard", wrong), Settings(env="production"))
    assert "CONFIG GET is forbidden" in caplog.text


def test_a_refusal_names_each_setting_its_value_and_what_was_expected() -> None:
    wrong = (
        Mismatch("appendonly", "no", "yes"),
        Mismatch("min-replicas-to-write", "0", "1 or more", "host:7001"),
    )
    with pytest.raises(StoreUnfit) as caught:
        enforce(Durability("strict", wrong), Settings(env="production"))
    assert caught.value.code == "store_not_durable"
    for part in (
        "BURSAR_DURABILITY=strict",
        "appendonly is no, expected yes",
        "min-replicas-to-write at host:7001 is 0, expected 1 or more",
    ):
        assert part in str(caught.value)


def test_a_replica_that_is_away_for_a_while_is_no_reason_not_to_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = tuple(compare(facts(replicas=0), "strict", 1))
    enforce(Durability("strict", wrong), Settings(env="production"))
    assert "connected_slaves is 0" in caplog.text


@pytest.mark.parametrize(
    ("profile", "version_ok", "replicas", "commands"),
    [
        ("dev", True, 1, None),
        ("standard", True, 1, None),
        ("strict", True, 2, ["WAITAOF", "WAIT"]),
        ("strict", True, 0, ["WAITAOF"]),
        ("strict", False, 1, ["WAIT"]),
        ("strict", False, 0, []),
    ],
)
def test_what_is_waited_for(
    profile: str, version_ok: bool, replicas: int, commands: list[str] | None
) -> None:
    settings = Settings(durability=profile, wait_replicas=replicas)  # type: ignore[arg-type]
    waits = waits_for(Durability(profile, (), version_ok), settings)
    assert (None if waits is None else [each[0] for each in waits.commands]) == commands


# -- real servers


@pytest.fixture
def plain() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


async def open_and_close(url: str, **changes: Any) -> None:
    store = await open_store(Settings(redis_url=url, **changes))
    await store.aclose()


@pytest.mark.parametrize("profile", ["standard", "strict"])
async def test_production_refuses_a_server_without_a_file(
    plain: EmbeddedServer, profile: str
) -> None:
    with pytest.raises(StoreUnfit, match="appendonly is no, expected yes") as caught:
        await open_and_close(plain.url, env="production", durability=profile)
    assert caught.value.code == "store_not_durable"


async def test_elsewhere_it_is_a_warning(
    plain: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await open_and_close(plain.url, durability="standard")
    assert "appendonly is no, expected yes" in caplog.text


async def test_dev_asks_for_nothing(
    plain: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await open_and_close(plain.url)
    assert caplog.text == ""


async def test_production_starts_on_fit_servers(tmp_path: Path) -> None:
    servers = Replicated(tmp_path, replicas=1, extra=("--min-replicas-to-write", "1"))
    try:
        for profile in ("standard", "strict"):
            await open_and_close(servers.url, env="production", durability=profile)
        # A server whose replicas are gone takes no writes; it says so, and that is no refusal.
        servers.replicas[0].stop()
        with pytest.raises(StoreUnavailable):
            await open_and_close(servers.url, env="production", durability="strict")
    finally:
        servers.stop()


async def test_a_server_that_forbids_config_says_so(tmp_path: Path) -> None:
    extra = ("--appendfsync", "always", "--rename-command", "CONFIG", "")
    with EmbeddedServer(data=tmp_path, extra=extra) as server:
        strict = {"env": "production", "durability": "strict"}
        await open_and_close(server.url, **strict, wait_replicas=0)
        with pytest.raises(StoreUnfit, match="CONFIG GET is forbidden"):
            await open_and_close(server.url, **strict, wait_replicas=1)
