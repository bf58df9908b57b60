"""Who may do what with the audit logs: workers write them, gateways seal and trim, others read."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from bursar import workspaces
from bursar.audit.entries import Record
from bursar.audit.trimming import trim_log
from bursar.ids import new_id
from bursar.settings import GatewaySettings, Settings
from bursar.signing import PublicKeys, SigningKeys
from bursar.store.keys import GlobalKeys
from bursar.store.opening import open_store
from bursar.store.scripts.audit import AuditLog, append
from bursar.store.store import Store
from bursar_gateway.audit import Sealer, read_sealing
from bursar_gateway.refusals import Refusals
from support.audit_desk import Desk


@dataclass
class Pair:
    """A gateway and a worker, each connected as its own user, and an empty workspace of theirs."""

    gateway: Store
    worker: Store
    log: AuditLog


@pytest.fixture
async def pair(as_role: Callable[[str], Settings]) -> AsyncIterator[Pair]:
    gateway, worker = [await open_store(as_role(role)) for role in ("gateway", "worker")]
    name = new_id("ws").replace("_", "-")
    await workspaces.create(gateway, name)
    yield Pair(gateway, worker, AuditLog.of(gateway, name))
    for store in (gateway, worker):
        await store.aclose()


async def test_a_gateway_seals_exports_and_trims_what_both_wrote(
    pair: Pair, as_role: Callable[[str], Settings]
) -> None:
    record = Record(workspace=pair.log.workspace, actor="worker:w1", action="x", decision="done")
    await append(pair.worker, pair.log, record)
    refusals = Refusals(pair.gateway)
    refusals.note("192.0.2.1", "x")
    await refusals.flush()

    settings = GatewaySettings(redis_url=as_role("gateway").redis_url)
    signing = await SigningKeys.load(pair.gateway, settings)
    sealer = Sealer(pair.gateway, signing, PublicKeys(pair.gateway), every_s=0.001, name="g1")
    assert await sealer.seal_all() is not None
    desk = Desk(pair.gateway, pair.log, signing.current, await sealer.ring())
    verdict = await desk.verify()
    assert verdict.ok, verdict.findings
    assert verdict.sealed_seq == 2
    await desk.export()
    await trim_log(pair.gateway, pair.log, verdict.sealed_seq, verdict.head, actor="key:k")
    state = await read_sealing(pair.gateway)
    assert state is not None
    assert state.broken == 0


async def test_what_was_sealed_is_out_of_reach_for_who_can_write_the_log(
    pair: Pair, as_role: Callable[[str], Settings]
) -> None:
    """A worker writes entries, so it could cut a log and its counters; not the head."""
    name = pair.log.workspace
    await refused(
        as_role("worker"),
        ("HGET", GlobalKeys.audit_heads, name),
        ("HSET", GlobalKeys.audit_heads, name, "x"),
        ("HDEL", GlobalKeys.audit_heads, name),
        ("XADD", GlobalKeys.audit, "*", "d", "x"),
        ("DEL", GlobalKeys.audit_seals),
        ("HGETALL", GlobalKeys.signing_secrets),
        ("HSET", GlobalKeys.signing_keys, "sk_x", "x"),
        ("XTRIM", pair.log.entries, "MAXLEN", "0"),
    )


async def test_others_see_how_sealing_goes_and_operators_the_installations_log(
    pair: Pair, as_role: Callable[[str], Settings]
) -> None:
    del pair
    for role in ("dashboard", "operator"):
        async with Redis.from_url(as_role(role).redis_url) as redis:
            for key in (GlobalKeys.audit_state, GlobalKeys.audit_heads):
                await redis.execute_command("HGETALL", key)
        await refused(as_role(role), ("HSET", GlobalKeys.audit_heads, "acme", "x"))
    async with Redis.from_url(as_role("operator").redis_url) as redis:
        await redis.xrange(GlobalKeys.audit)
    await refused(as_role("dashboard"), ("XRANGE", GlobalKeys.audit, "-", "+"))


async def refused(user: Settings, *commands: tuple[str, ...]) -> None:
    async with Redis.from_url(user.redis_url) as redis:
        for command in commands:
            with pytest.raises(NoPermissionError):
                await redis.execute_command(*command)
