"""The scripts of audit logs themselves: append, find what lags, seal, trim."""

import asyncio
from typing import Any

import pytest

from bursar.audit.chain import INSTALLATION
from bursar.audit.entries import Record
from bursar.errors import Conflict, NotFound
from bursar.store.codec import decode_json, text
from bursar.store.scripts import audit
from bursar.store.scripts.audit import AuditLog
from bursar.store.scripts.sessions import open_workspace
from bursar.store.store import Store
from support.stage import unchanged


@pytest.fixture(params=["acme", INSTALLATION])
async def log(request: pytest.FixtureRequest, any_store: Store) -> AuditLog:
    """An empty workspace's log, which begins with its creation; then that of the installation."""
    await open_workspace(any_store, "acme", limit="unlimited", warn_percent=80, settings={})
    found = AuditLog.of(any_store, request.param)
    if request.param == INSTALLATION:
        await audit.append(any_store, found, record())
    return found


def record(action: str = "x") -> Record:
    return Record(workspace="acme", actor="key:1", action=action, decision="done")


async def entries(store: Store, log: AuditLog) -> list[dict[str, Any]]:
    found = await store.redis.call("XRANGE", log.entries, "-", "+")
    return [decode_json(fields[b"d"], dict[str, Any]) for _, fields in found]


async def counter(store: Store, log: AuditLog, name: str) -> str:
    return text(await store.redis.call("HGET", log.counter, name))


async def fill(store: Store, log: AuditLog, to_seq: int) -> None:
    for _ in range(to_seq - 1):
        await audit.append(store, log, record())


async def seal(store: Store, log: AuditLog, before: int, to_seq: int) -> bool:
    return await audit.put_seal(store, log, sealed_before=before, to_seq=to_seq, seal=b"{}")


async def test_entries_are_numbered_without_gaps_also_at_once(
    any_store: Store, log: AuditLog
) -> None:
    numbers = await asyncio.gather(*(audit.append(any_store, log, record()) for _ in range(20)))
    assert sorted(numbers) == list(range(2, 22))
    found = await entries(any_store, log)
    assert [entry["seq"] for entry in found] == list(range(1, 22))
    assert all(entry["at_ms"] > 0 for entry in found)
    assert found[-1] | {"seq": 0, "at_ms": 0} == {
        "workspace": "acme", "actor": "key:1", "action": "x", "decision": "done",
        "seq": 0, "at_ms": 0,
    }  # fmt: skip


async def test_a_workspace_that_does_not_exist_has_no_log(any_store: Store) -> None:
    async with unchanged(any_store):
        with pytest.raises(NotFound) as caught:
            await audit.append(any_store, AuditLog.of(any_store, "nobody"), record())
    assert caught.value.code == "workspace_not_found"


async def test_only_logs_with_something_to_seal_are_found(any_store: Store) -> None:
    logs = []
    for name in ("ws0", "ws1", "ws2"):
        await open_workspace(any_store, name, limit="unlimited", warn_percent=80, settings={})
        logs.append(AuditLog.of(any_store, name))
    assert await seal(any_store, logs[1], 0, 1)
    await any_store.redis.call("HSET", logs[1].counter, "published_seq", 1)
    assert await seal(any_store, logs[2], 0, 1)
    # Of the third one the seal is there, but nobody has published its head.
    found = [await audit.find_lagging(any_store, [log.counter]) for log in logs]
    assert found == [[(0, 1, 0)], [], [(0, 1, 1)]]


async def test_many_logs_of_a_shard_are_looked_at_at_once(any_store: Store) -> None:
    log = AuditLog.of(any_store, INSTALLATION)
    await audit.append(any_store, log, record())
    assert await audit.find_lagging(any_store, [log.counter] * 3) == [
        (0, 1, 0), (1, 1, 0), (2, 1, 0),
    ]  # fmt: skip


async def test_a_seal_follows_the_last_one_or_none_is_added(
    any_store: Store, log: AuditLog
) -> None:
    await fill(any_store, log, 5)
    assert await seal(any_store, log, 0, 3)
    async with unchanged(any_store):
        assert not await seal(any_store, log, 0, 4), "another sealer was faster"
        assert not await seal(any_store, log, 3, 3)
        assert not await seal(any_store, log, 3, 2)
        with pytest.raises(Conflict) as caught:
            await seal(any_store, log, 3, 6)
    assert caught.value.code == "audit_differs"
    assert await seal(any_store, log, 3, 5)
    found = await any_store.redis.call("XRANGE", log.seals, "-", "+")
    assert [text(entry) for entry, _ in found] == ["3-0", "5-0"]
    assert await counter(any_store, log, "sealed_seq") == "5"


async def test_of_two_sealers_at_once_one_seals(any_store: Store, log: AuditLog) -> None:
    await fill(any_store, log, 9)
    won = await asyncio.gather(*(seal(any_store, log, 0, to_seq) for to_seq in range(1, 10)))
    assert won.count(True) == 1
    assert await any_store.redis.call("XLEN", log.seals) == 1


async def ready_to_trim(store: Store, log: AuditLog) -> None:
    """Nine entries under seals of three; up to the sixth they are published and exported."""
    await fill(store, log, 9)
    for to_seq in (3, 6, 9):
        assert await seal(store, log, to_seq - 3, to_seq)
    await store.redis.call("HSET", log.counter, "published_seq", 9, "exported_seq", 6)


async def test_what_was_exported_is_trimmed_and_the_log_says_so(
    any_store: Store, log: AuditLog
) -> None:
    await ready_to_trim(any_store, log)
    assert await audit.trim(any_store, log, 6, record("audit.trim")) == 6
    found = await entries(any_store, log)
    assert [entry["seq"] for entry in found] == [7, 8, 9, 10]
    assert found[-1]["action"] == "audit.trim"
    seals = await any_store.redis.call("XRANGE", log.seals, "-", "+")
    assert [text(entry) for entry, _ in seals] == ["6-0", "9-0"], "the one before the rest stays"
    assert await counter(any_store, log, "trimmed_seq") == "6"


@pytest.mark.parametrize(
    ("to_seq", "counters", "code"),
    [
        (9, {}, "not_exported"),
        (6, {"published_seq": 3}, "not_sealed"),
        (5, {}, "no_seal"),
        (6, {"trimmed_seq": 6}, "already_trimmed"),
        (0, {}, "already_trimmed"),
    ],
)
async def test_what_must_not_go_stays(
    any_store: Store, log: AuditLog, to_seq: int, counters: dict[str, int], code: str
) -> None:
    await ready_to_trim(any_store, log)
    before = {name: await counter(any_store, log, name) for name in counters}
    for name, value in counters.items():
        await any_store.redis.call("HSET", log.counter, name, value)
    async with unchanged(any_store):
        with pytest.raises(Conflict) as caught:
            await audit.trim(any_store, log, to_seq, record())
    assert caught.value.code == code
    for name, was in before.items():
        await any_store.redis.call("HSET", log.counter, name, was or 0)
