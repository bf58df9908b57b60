"""The ledger over HTTP: pages, CSV, who spent most, the audit, checkpoints and trimming."""

import csv
import io
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from bursar.budgets.ledger import LedgerEntry
from bursar.budgets.table import LEDGER_FIELDS
from bursar.registry import redis_ms
from bursar.store.store import Store
from bursar_gateway.routes import ledger as routes
from support.gateway import Running
from support.schema import DOCUMENT, parse

WS = "/v1/workspaces/acme/budget"


@pytest.fixture
async def entries(admin: httpx.AsyncClient, base: str) -> list[dict[str, str]]:
    """Five changes of the workspace's limit to 1 ... 5, oldest first."""
    for limit in range(1, 6):
        await admin.patch(WS, json={"limit_microusd": limit})
    newest = (await admin.get(f"{WS}/ledger")).json()
    assert [one["to"] for one in newest] == ["5", "4", "3", "2", "1"]
    return list(reversed(newest))


async def _read(admin: httpx.AsyncClient, query: str) -> list[str]:
    answer = await admin.get(f"{WS}/ledger?{query}")
    assert answer.status_code == 200, answer.text
    return [one["to"] for one in answer.json()]


async def test_pages_go_on_after_the_last_entry(
    admin: httpx.AsyncClient, entries: list[dict[str, str]]
) -> None:
    assert await _read(admin, "limit=2") == ["5", "4"], "without a place: the newest"
    seen: list[dict[str, str]] = []
    after = "0-0"
    while page := (await admin.get(f"{WS}/ledger?after={after}&limit=2")).json():
        seen += page
        after = page[-1]["entry"]
    assert seen == entries
    assert await _read(admin, f"before={entries[2]['entry']}") == ["1", "2"]
    between = f"after={entries[0]['entry']}&before={entries[3]['entry']}"
    assert await _read(admin, between) == ["2", "3"]


async def test_entries_since_a_moment(
    store: Store, admin: httpx.AsyncClient, entries: list[dict[str, str]]
) -> None:
    assert await _read(admin, "since=1") == ["1", "2", "3", "4", "5"]
    assert await _read(admin, f"since={await redis_ms(store) + 1}") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=1", "after"),
        ("after=-", "after"),
        ("before=(1-0", "before"),
        ("since=-1", "since"),
        ("since=x", "since"),
        ("format=xml", "format"),
    ],
)
async def test_a_bad_place_is_named(
    admin: httpx.AsyncClient, base: str, query: str, field: str
) -> None:
    answer = await admin.get(f"{WS}/ledger?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize("how", ["header", "query"])
async def test_the_whole_ledger_is_a_file_of_csv(
    admin: httpx.AsyncClient,
    entries: list[dict[str, str]],
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "_CHUNK", 2)
    headers = {"Accept": "text/csv"} if how == "header" else {}
    query = "?format=csv" if how == "query" else ""
    answer = await admin.get(f"{WS}/ledger{query}", headers=headers)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="ledger-acme.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [{name: value for name, value in row.items() if value} for row in rows] == entries
    part = await admin.get(f"{WS}/ledger?format=csv&after={entries[3]['entry']}")
    assert len(part.text.splitlines()) == 2


async def test_a_file_that_breaks_off_does_not_pass_for_a_whole(
    admin: httpx.AsyncClient,
    entries: list[dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def walk(*_: Any, **__: Any) -> AsyncGenerator[list[LedgerEntry]]:
        yield entries[:2]
        raise ConnectionError("Redis is gone")

    monkeypatch.setattr(routes, "walk_ledger", walk)
    with pytest.raises(httpx.RemoteProtocolError):
        await admin.get(f"{WS}/ledger?format=csv")


def test_the_columns_are_all_fields_that_are_documented() -> None:
    (documented,) = [
        doc.fields for doc in parse(DOCUMENT.read_text()).keys if doc.pattern.endswith(":ledger")
    ]
    assert set(LEDGER_FIELDS) == {"entry", *documented}
    assert len(LEDGER_FIELDS) == len(set(LEDGER_FIELDS))


async def test_spenders(admin: httpx.AsyncClient, store: Store, base: str, sid: str) -> None:
    """What is added up is tested beside `read_spending`; this is the way to it."""
    entry: dict[str, str | int] = {
        "op": "commit", "id": "h", "cost": 9, "actual": 7, "tokens": 3, "accounts": "ws",
        "session": sid, "turn": "t", "step": 1, "kind": "model:m", "price": "flat", "at_ms": 1,
    }  # fmt: skip
    ledger = store.workspace("acme").ledger
    await store.redis.call("XADD", ledger, "*", *[part for pair in entry.items() for part in pair])
    for by, name in (("session", sid), ("agent", "echo"), ("model", "model:m")):
        found = (await admin.get(f"{WS}/spenders?by={by}&limit=5")).json()
        assert (found["by"], found["total_microusd"], found["complete"]) == (by, 7, True)
        (one,) = found["spenders"]
        assert (one["name"], one["cost_microusd"], one["tokens"], one["calls"]) == (name, 7, 3, 1)
    now = await redis_ms(store)
    assert (await admin.get(f"{WS}/spenders?since={now + 1}")).json()["spenders"] == []
    for query, field in (("by=x", "by"), ("limit=0", "limit"), ("since=-1", "since")):
        answer = await admin.get(f"{WS}/spenders?{query}")
        assert (answer.status_code, answer.json()["field"]) == (422, field)
    await store.redis.call("DEL", ledger)


async def test_an_audit_names_what_differs(
    admin: httpx.AsyncClient, store: Store, sid: str
) -> None:
    audit = (await admin.get(f"{WS}/audit")).json()
    assert audit == {
        "workspace": "acme", "ok": True, "accounts": 3, "holds": 0, "entries": 0, "differences": [],
    }  # fmt: skip
    key = store.workspace("acme").account("user:ann")
    await store.redis.call("HINCRBY", key, "pending", 4)
    audit = (await admin.get(f"{WS}/audit")).json()
    assert audit["ok"] is False
    assert audit["differences"] == [
        {"account": "user:ann", "field": "pending", "expected": 0, "found": 4}
    ]
    refused = await admin.post(f"{WS}/checkpoint")
    assert (refused.status_code, refused.json()["code"]) == (409, "accounts_differ")
    assert (await admin.post(f"{WS}/checkpoint", json={"force": True})).status_code == 200
    await store.redis.call("HINCRBY", key, "pending", -4)


async def test_a_checkpoint_lets_older_entries_go(
    live: Running, admin: httpx.AsyncClient, entries: list[dict[str, str]]
) -> None:
    early = await admin.post(f"{WS}/trim", json={"checkpoint": entries[2]["entry"]})
    assert (early.status_code, early.json()["code"]) == (409, "no_checkpoint")
    bad = await admin.post(f"{WS}/trim", json={"checkpoint": "all"})
    assert (bad.status_code, bad.json()["field"]) == (422, "checkpoint")
    made = (await admin.post(f"{WS}/checkpoint")).json()
    assert made["accounts"] == 0, "nobody has spent anything"
    trimmed = await admin.post(f"{WS}/trim", json={"checkpoint": made["checkpoint"]})
    assert trimmed.json() == {"entries": 5, "more": False}
    (left,) = (await admin.get(f"{WS}/ledger")).json()
    assert (left["op"], left["entry"]) == ("checkpoint", made["checkpoint"])
    assert (await admin.get(f"{WS}/audit")).json()["ok"]
