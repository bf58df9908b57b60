"""Gateways sign and give rights out, workers verify and forget; as the users that are shipped."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from bursar import workspaces
from bursar.gate.capability_views import inspect, list_capabilities, revoke
from bursar.gate.minting import bring_back, derive, mint
from bursar.gate.terms import DerivedCapability, NewCapability
from bursar.ids import new_id
from bursar.settings import GatewaySettings, Settings
from bursar.signing import PublicKeys, SigningKeys
from bursar.store.keys import GlobalKeys, WorkspaceKeys
from bursar.store.opening import open_store
from bursar.store.scripts.capabilities import forget
from bursar.store.store import Store


@dataclass
class Sides:
    gateway: Store
    worker: Store
    signing: SigningKeys
    ws: WorkspaceKeys


@pytest.fixture
async def connect(as_role: Callable[[str], Settings]) -> AsyncIterator[Callable[[str], Redis]]:
    opened: list[Redis] = []

    def client(role: str) -> Redis:
        opened.append(Redis.from_url(as_role(role).redis_url))
        return opened[-1]

    yield client
    for redis in opened:
        await redis.aclose()


@pytest.fixture
async def sides(as_role: Callable[[str], Settings]) -> AsyncIterator[Sides]:
    gateway, worker = await open_store(as_role("gateway")), await open_store(as_role("worker"))
    settings = GatewaySettings(redis_url=as_role("gateway").redis_url)
    workspace = new_id("ws").replace("_", "-")
    await workspaces.create(gateway, workspace)
    signing = await SigningKeys.load(gateway, settings)
    yield Sides(gateway, worker, signing, gateway.workspace(workspace))
    await gateway.aclose()
    await worker.aclose()


async def test_gateways_sign_and_workers_verify(sides: Sides) -> None:
    await sides.signing.rotate("key:k1")
    kid = sides.signing.current.kid
    public = await PublicKeys(sides.worker).get(kid)
    assert public is not None
    assert public.verify(sides.signing.current.sign(b"x"), b"x")
    await sides.signing.revoke(kid, "key:k1")
    again = await PublicKeys(sides.worker).get(kid)
    assert again is not None
    assert again.is_revoked


@pytest.mark.parametrize("role", ["worker", "dashboard", "operator"])
async def test_others_read_public_halves_and_nothing_else_of_keys(
    sides: Sides, connect: Callable[[str], Redis], role: str
) -> None:
    kid = sides.signing.current.kid
    redis = connect(role)
    assert await send(redis, "HGET", GlobalKeys.signing_keys, kid)
    for command in (
        ("HSET", GlobalKeys.signing_keys, kid, "mine"),
        ("HDEL", GlobalKeys.signing_keys, kid),
        ("HGETALL", GlobalKeys.signing_secrets),
        ("HSET", GlobalKeys.signing_secrets, kid, "mine"),
    ):
        with pytest.raises(NoPermissionError):
            await send(redis, *command)


async def test_gateways_give_rights_out_and_workers_forget_them(sides: Sides) -> None:
    gateway, ws, signing = sides.gateway, sides.ws, sides.signing
    keys = PublicKeys(gateway)
    made = await mint(gateway, ws, signing, NewCapability(patterns=("send",)), by="key:k1")
    await derive(gateway, ws, signing, keys, DerivedCapability(token=made.token), by="key:k1")
    assert (await inspect(gateway, ws, keys, token=made.token)).state == "valid"
    assert len(await list_capabilities(gateway, ws, keys)) == 2
    await gateway.redis.call("HDEL", ws.capabilities, made.id)
    await bring_back(gateway, ws, keys, made.token, by="key:k1")
    await revoke(gateway, ws, made.id, by="key:k1")
    await sides.worker.redis.call("ZADD", ws.shard.timers, 1, ws.capability_timer(made.id))
    assert await forget(sides.worker, ws, made.id)


async def send(redis: Redis, *command: str) -> Any:
    return await redis.execute_command(*command)  # type: ignore[no-untyped-call]
