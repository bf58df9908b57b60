"""`/readyz` says which durability profile is meant, and what Redis lacks for it right now."""

from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from bursar.client import AsyncClient
from bursar.embedded import EmbeddedServer
from bursar.settings import GatewaySettings
from support.gateway import ADMIN, running
from support.topologies import ask


def settings(url: str, **changes: Any) -> GatewaySettings:
    return GatewaySettings(redis_url=url, port=0, api_key=SecretStr(ADMIN), **changes)


async def readiness(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url) as client:
        found: dict[str, Any] = (await client.get("/readyz")).json()["durability"]
        return found


async def test_dev_is_matched_by_any_server(redis_server: EmbeddedServer) -> None:
    async with running(settings(redis_server.url)) as gateway:
        assert await readiness(gateway.url) == {
            "profile": "dev", "matches": True, "mismatches": []
        }  # fmt: skip


async def test_what_is_missing_is_said_until_it_is_mended(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path, extra=("--appendfsync", "no")) as server:
        async with running(settings(server.url, durability="standard")) as gateway:
            assert await readiness(gateway.url) == {
                "profile": "standard",
                "matches": False,
                "mismatches": ["appendfsync is no, expected always or everysec"],
            }
            ask(server.port, "CONFIG", "SET", "appendfsync", "everysec")
            assert (await readiness(gateway.url))["matches"]
            async with AsyncClient(gateway.url, ADMIN) as client:
                shown = (await client.get_readiness()).durability
            assert shown is not None
            assert (shown.profile, shown.matches) == ("standard", True)


async def test_a_promise_that_was_fit_at_the_start_may_be_broken_later(tmp_path: Path) -> None:
    extra = ("--appendfsync", "always")
    with EmbeddedServer(data=tmp_path, extra=extra) as server:
        strict = settings(server.url, durability="strict", wait_replicas=0, env="production")
        async with running(strict) as gateway:
            assert (await readiness(gateway.url))["matches"]
            ask(server.port, "CONFIG", "SET", "no-appendfsync-on-rewrite", "yes")
            assert (await readiness(gateway.url))["mismatches"] == [
                "no-appendfsync-on-rewrite is yes, expected no"
            ]
