"""Logins that are refused are on record, together, and nothing secret of them is."""

import httpx
import pytest

from bursar.audit.chain import INSTALLATION
from bursar.audit.listing import AuditEntry, Filter, read_page
from bursar.errors import StoreUnavailable
from bursar.store.scripts.audit import AuditLog
from bursar.store.store import Store
from bursar_gateway.refusals import Refusals
from support.gateway import Running, wait_until


async def refused(store: Store) -> list[AuditEntry]:
    log = AuditLog.of(store, INSTALLATION)
    wanted = Filter(action="login.refused")
    return (await read_page(store, log, wanted, after=0, limit=1000)).entries


async def test_a_refused_login_is_recorded_at_once(store: Store, live: Running) -> None:
    async with live.client("bk_06f0abc_verysecret") as stranger:
        assert (await stranger.get("/v1/workspaces/acme")).status_code == 401

    async def recorded() -> bool:
        return len(await refused(store)) == 1

    await wait_until(recorded, "the refusal to be on record")
    (entry,) = await refused(store)
    assert (entry.actor, entry.decision) == ("system", "deny")
    assert entry.details == {"count": 1, "addresses": ["127.0.0.1"], "keys": ["06f0abc"]}
    assert "verysecret" not in str(entry)


async def test_good_logins_and_missing_rights_are_not_recorded(
    store: Store, live: Running, admin: httpx.AsyncClient, sid: str
) -> None:
    del sid
    made = await admin.post("/v1/keys", json={"name": "acme", "workspaces": ["acme"]})
    async with live.client(made.json()["token"]) as tenant:
        assert (await tenant.get("/v1/workspaces/acme")).status_code == 200
        assert (await tenant.get("/v1/keys")).status_code == 403
    await live.gateway.refusals.flush()
    assert await refused(store) == []


async def test_a_flood_becomes_a_few_entries_that_count_it(store: Store, live: Running) -> None:
    async with live.client("nonsense") as stranger:
        for _ in range(200):
            await stranger.get("/v1/workspaces")
    await live.gateway.refusals.flush()
    entries = await refused(store)
    assert sum(entry.details["count"] for entry in entries) == 200
    assert len(entries) <= 10


async def test_only_some_of_many_names_are_kept(store: Store) -> None:
    refusals = Refusals(store)
    for number in range(1000):
        refusals.note(f"192.0.2.{number % 250}", f"bk_key{number}_secret")
    await refusals.flush()
    (entry,) = await refused(store)
    assert entry.details["count"] == 1000
    assert len(entry.details["addresses"]) == len(entry.details["keys"]) == 5


@pytest.mark.parametrize(
    "token", ["", "secret", "bk_", "bk__x", "bk_{x}_y", "Bk_a_b", "bk_" + "a" * 99]
)
async def test_of_a_token_in_another_form_nothing_is_kept(store: Store, token: str) -> None:
    refusals = Refusals(store)
    refusals.note("", token)
    await refusals.flush()
    (entry,) = await refused(store)
    assert entry.details == {"count": 1, "addresses": [], "keys": []}


async def test_what_could_not_be_recorded_is_counted_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = Refusals(store)
    refusals.note("192.0.2.1", "x")

    async def away(*_: object) -> int:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr("bursar_gateway.refusals.append", away)
        await refusals.flush()
    refusals.note("192.0.2.1", "x")
    await refusals.flush()
    await refusals.flush()
    (entry,) = await refused(store)
    assert entry.details["count"] == 2
