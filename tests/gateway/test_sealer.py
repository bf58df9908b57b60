"""The sealer's rounds: one gateway at a time, every log that has news, and what it tells."""

import asyncio

import httpx
import pytest

from bursar import workspaces
from bursar.audit.listing import Filter, read_page
from bursar.audit.reading import read_state
from bursar.audit.trimming import trim_log
from bursar.settings import GatewaySettings
from bursar.signing import PublicKeys, SigningKeys
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.audit import AuditLog
from bursar.store.store import Store
from bursar_gateway.audit import Sealer, read_sealing
from support.audit_desk import Desk
from support.gateway import Running, running, wait_until

NAMES = [f"ws{number}" for number in range(5)]


@pytest.fixture
async def signing(store: Store, gateway_settings: GatewaySettings) -> SigningKeys:
    return await SigningKeys.load(store, gateway_settings)


@pytest.fixture
def sealer(store: Store, signing: SigningKeys) -> Sealer:
    """One whose lock is gone at once, so that rounds can follow each other."""
    return Sealer(store, signing, PublicKeys(store), every_s=0.001, name="g1")


@pytest.fixture
async def logs(store: Store) -> list[AuditLog]:
    for name in NAMES:
        await workspaces.create(store, name)
    return [AuditLog.of(store, name) for name in NAMES]


async def round_of(sealer: Sealer) -> None:
    """A whole round, once the lock of the one before is gone."""

    async def done() -> bool:
        return await sealer.seal_all() is not None

    await wait_until(done, "a round of sealing")


async def sealed(store: Store, logs: list[AuditLog]) -> list[tuple[int, int]]:
    states = [await read_state(store, log) for log in logs]
    return [(state.sealed_seq, state.published_seq) for state in states]


async def test_a_round_seals_every_log_with_news(
    store: Store, sealer: Sealer, logs: list[AuditLog]
) -> None:
    await round_of(sealer)
    assert await sealed(store, [*logs, AuditLog.of(store, "*")]) == [(1, 1)] * 6
    await workspaces.update(store, "ws3", {"paused": True})
    await workspaces.create(store, "new")
    await round_of(sealer)
    assert await sealed(store, [*logs, AuditLog.of(store, "new")]) == [
        (1, 1), (1, 1), (1, 1), (2, 2), (1, 1), (1, 1),
    ]  # fmt: skip


async def test_logs_without_news_are_not_touched(
    store: Store, sealer: Sealer, logs: list[AuditLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    await round_of(sealer)
    asked: list[str] = []
    seal = sealer.seal

    async def noting(log: AuditLog, *args: object) -> object:
        asked.append(log.workspace)
        return await seal(log, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(sealer, "seal", noting)
    await workspaces.update(store, "ws3", {"paused": True})
    await round_of(sealer)
    assert asked == ["ws3"]
    del logs


async def test_one_gateway_at_a_time_does_a_round(store: Store, signing: SigningKeys) -> None:
    pair = [
        Sealer(store, signing, PublicKeys(store), every_s=60, name=name) for name in ("g1", "g2")
    ]
    found = await asyncio.gather(*(each.seal_all() for each in pair))
    assert sorted(state is None for state in found) == [False, True]
    await store.redis.call("DEL", GlobalKeys.seal)


async def test_a_log_that_is_not_in_order_holds_up_no_other_and_is_told_of(
    store: Store, sealer: Sealer, logs: list[AuditLog], caplog: pytest.LogCaptureFixture
) -> None:
    entry = (await store.redis.call("XRANGE", logs[2].entries, "-", "+"))[0][1]
    await workspaces.update(store, "ws2", {"paused": True})
    await store.redis.call("XDEL", logs[2].entries, "1-0")
    await round_of(sealer)
    assert await sealed(store, logs) == [(1, 1), (1, 1), (0, 0), (1, 1), (1, 1)]
    state = await read_sealing(store)
    assert state is not None
    assert (state.broken, state.unsealed) == (1, 2)
    assert (await read_state(store, logs[2])).problem == "entry 1 is missing"
    assert "the audit log of ws2 is not in order: entry 1 is missing" in caplog.text

    later = (await store.redis.call("XRANGE", logs[2].entries, "-", "+"))[0][1]
    await store.redis.call("DEL", logs[2].entries)
    for number, fields in enumerate((entry, later), 1):
        await store.redis.call("XADD", logs[2].entries, f"{number}-0", "d", fields[b"d"])
    await round_of(sealer)
    state = await read_sealing(store)
    assert state is not None
    assert (state.broken, state.unsealed) == (0, 0)
    assert (await read_state(store, logs[2])).problem == ""


async def test_a_sealer_that_is_gone_is_a_growing_lag(
    store: Store, sealer: Sealer, logs: list[AuditLog]
) -> None:
    assert await read_sealing(store) is None
    await round_of(sealer)
    await store.redis.call("HINCRBY", GlobalKeys.audit_state, "at_ms", -90_000)
    state = await read_sealing(store)
    assert state is not None
    assert state.lag_ms >= 90_000
    del logs


async def test_a_revoked_keys_last_seals_get_one_of_a_good_key_behind_them(
    store: Store, sealer: Sealer, signing: SigningKeys, logs: list[AuditLog]
) -> None:
    await round_of(sealer)
    leaked = signing.current.kid
    await signing.revoke(leaked, "key:root")
    await round_of(sealer)
    for log in logs:
        page = await read_page(store, log, Filter(), limit=1)
        assert page.entries[0].action == "audit.reseal"
        assert page.entries[0].details["revoked"] == leaked
        desk = Desk(store, log, signing.current, await sealer.ring())
        verdict = await desk.verify()
        assert verdict.ok, verdict.findings
        assert verdict.keys == (leaked, signing.current.kid)
    before = await sealed(store, logs)
    await round_of(sealer)
    assert await sealed(store, logs) == before, "once"


async def test_a_running_gateway_seals_by_itself_and_says_so(
    store: Store, live: Running, admin: httpx.AsyncClient, sid: str
) -> None:
    del live, sid

    async def is_sealed() -> bool:
        state = await read_state(store, AuditLog.of(store, "acme"))
        return state.published_seq == state.audit_seq > 0

    await wait_until(is_sealed, "the sealer to come by", timeout_s=20)
    ready = (await admin.get("/readyz")).json()
    assert ready["sealing"]["broken"] == 0
    assert ready["sealing"]["at_ms"] > 0


async def test_gateways_that_seal_at_once_while_everybody_writes_make_one_chain(
    store: Store, gateway_settings: GatewaySettings
) -> None:
    settings = gateway_settings.model_copy(update={"seal_every_s": 0.02})
    await workspaces.create(store, "acme")
    log = AuditLog.of(store, "acme")
    async with running(settings) as one, running(settings) as other:
        for number in range(60):
            await workspaces.update(store, "acme", {"max_running": number + 1})
            if number % 10 == 0:
                gateway = (one, other)[number // 10 % 2].gateway
                await gateway.sealer.seal(log)
        desk = Desk(store, log, one.gateway.signing.current, await one.gateway.sealer.ring())

        async def all_sealed() -> bool:
            return (await desk.state()).published_seq == 61

        await wait_until(all_sealed, "all to be sealed")
        verdict = await desk.verify()
        assert verdict.ok, verdict.findings
        await desk.export()
        await trim_log(store, log, 61, verdict.head, actor="key:root")
    assert (await desk.verify({61: verdict.head})).ok
