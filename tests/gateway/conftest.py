"""A gateway for each test, on the empty store of that test."""

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from bursar.embedded import EmbeddedServer
from bursar.registry import Registry
from bursar.settings import GatewaySettings
from bursar.store.store import Store
from support.gateway import ADMIN, Running, running


@pytest.fixture
def gateway_settings(redis_server: EmbeddedServer) -> GatewaySettings:
    return GatewaySettings(
        redis_url=redis_server.url, port=0, api_key=SecretStr(ADMIN), ping_every_s=5
    )


@pytest.fixture
async def live(
    store: Store, registry: Registry, gateway_settings: GatewaySettings
) -> AsyncIterator[Running]:
    """A running gateway. `store` has been emptied before, and the agent ``echo`` is announced."""
    async with running(gateway_settings) as gateway:
        yield gateway


@pytest.fixture
async def admin(live: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with live.client() as client:
        yield client


@pytest.fixture
async def sid(admin: httpx.AsyncClient) -> str:
    """A session of user ``ann`` in a new workspace ``acme``."""
    await admin.post("/v1/workspaces", json={"id": "acme"})
    answer = await admin.post("/v1/workspaces/acme/sessions", json={"agent": "echo", "user": "ann"})
    return str(answer.json()["id"])


@pytest.fixture
def base(sid: str) -> str:
    return f"/v1/workspaces/acme/sessions/{sid}"
