"""Budgets over HTTP: limits, questions and their answers, periods, resets."""

import httpx
import pytest

from bursar.budgets.periods import next_reset_ms
from bursar.events import Span
from bursar.registry import redis_ms
from bursar.sessions import locate
from bursar.store.codec import text
from bursar.store.scripts.parking import MoneyWait, Parking, park_for_money
from bursar.store.store import Store
from support.gateway import begin_turn

WS = "/v1/workspaces/acme/budget"


async def test_budgets_are_read_and_changed(admin: httpx.AsyncClient, base: str, sid: str) -> None:
    budget = (await admin.get(f"{base}/budget")).json()
    assert [account["account"] for account in budget["path"]] == ["ws", "user:ann", f"s:{sid}"]
    assert budget["account"] == budget["path"][-1]
    body = {"limit_microusd": 2000, "per_action_microusd": 500, "warn_percent": 10}
    changed = (await admin.patch(f"{base}/budget", json=body)).json()
    assert {name: changed[name] for name in body} == body
    unlimited = await admin.patch(f"{base}/budget", json={"limit_microusd": None})
    assert (unlimited.status_code, unlimited.json()["field"]) == (422, "limit_microusd")
    assert (await admin.patch(WS, json={"limit_microusd": 77})).json()["limit_microusd"] == 77
    assert (await admin.get(WS)).json()["limit_microusd"] == 77
    assert (await admin.patch(WS, json={"limit_microusd": None})).json()["limit_microusd"] is None
    assert (await admin.get(f"{WS}?user=ann")).json()["account"] == "user:ann"
    assert (await admin.get(f"{WS}?user=nobody")).status_code == 404
    assert (await admin.get(f"{WS}?user=a:b")).status_code == 422


async def test_limits_of_tokens_and_turns_are_set_and_lifted(
    admin: httpx.AsyncClient, base: str
) -> None:
    body = {"token_limit": 500, "per_turn_microusd": 70}
    changed = (await admin.patch(f"{base}/budget", json=body)).json()
    assert {name: changed[name] for name in body} == body
    lifted = (await admin.patch(f"{base}/budget", json=dict.fromkeys(body))).json()
    assert {name: lifted[name] for name in body} == dict.fromkeys(body)
    refused = await admin.patch(WS, json={"per_turn_microusd": 70})
    assert (refused.status_code, refused.json()["field"]) == (422, "per_turn_microusd")


@pytest.fixture
async def waiting(store: Store, admin: httpx.AsyncClient, base: str, sid: str) -> str:
    """A turn that waits because the session may spend 2,000 micro-USD and needs 900 more."""
    await admin.patch(f"{base}/budget", json={"limit_microusd": 2000})
    await admin.post(f"{base}/turns", json={"input": "hi"})
    played = await begin_turn(store, "acme", sid)
    account = locate(store, "acme", sid).account
    await store.redis.call("HSET", account, "limit", 800)
    span = Span(sid, played.turn, 1, 1)
    wait = MoneyWait(f"s:{sid}", 900, 1, keeps=False, asks=span.event("budget.exhausted").body)
    parked = await park_for_money(
        store, played.lease, played.turn, wait, seen_seq=1, events=[span.event("turn.waiting")]
    )
    assert parked is Parking.DONE
    return played.turn


async def woken(store: Store, turn: str) -> tuple[str, str]:
    fields = await store.redis.call(
        "HMGET", store.workspace("acme").turn(turn), "woken", "woken_reason"
    )
    return text(fields[0]), text(fields[1])


async def test_an_account_that_ran_dry_is_a_question_and_more_money_answers_it(
    store: Store, admin: httpx.AsyncClient, base: str, sid: str, waiting: str
) -> None:
    (question,) = (await admin.get(f"{WS}/questions")).json()
    assert question["turns"] == [
        {"session": sid, "turn": waiting, "needs_microusd": 900, "needs_tokens": 1}
    ]
    account = question["account"]
    assert (account["account"], account["waiting"], account["limit_microusd"]) == (
        f"s:{sid}", 1, 800,
    )  # fmt: skip
    assert account["asked_ms"] <= await redis_ms(store)
    raised = (await admin.patch(f"{base}/budget", json={"limit_microusd": 900})).json()
    assert raised["asked_ms"] is None
    assert await woken(store, waiting) == ("raised", "")
    assert (await admin.get(f"{WS}/questions")).json() == []


async def test_a_raise_that_is_not_enough_wakes_nobody(
    store: Store, admin: httpx.AsyncClient, base: str, waiting: str
) -> None:
    await admin.patch(f"{base}/budget", json={"limit_microusd": 899})
    assert await woken(store, waiting) == ("", "")


async def test_a_denial_ends_the_waiting_with_its_reason(
    store: Store, admin: httpx.AsyncClient, sid: str, waiting: str
) -> None:
    body = {"account": f"s:{sid}", "reason": "good enough"}
    assert (await admin.post(f"{WS}/deny", json=body)).json() == {"turns": 1}
    assert await woken(store, waiting) == ("denied", "good enough")
    assert (await admin.get(f"{WS}/questions")).json() == []
    unknown = await admin.post(f"{WS}/deny", json={"account": "user:nobody"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "account_not_found")


async def test_a_reset_wakes_who_waits_and_counts_once_under_a_key(
    store: Store, admin: httpx.AsyncClient, base: str, sid: str, waiting: str
) -> None:
    account = locate(store, "acme", sid).account
    await store.redis.call("HSET", account, "limit", 900, "posted", 50)
    once = {"Idempotency-Key": "k"}
    view = (await admin.post(f"{base}/budget/reset", headers=once)).json()
    assert (view["posted_microusd"], view["limit_microusd"]) == (0, 900)
    assert await woken(store, waiting) == ("raised", "")
    again = await admin.post(f"{base}/budget/reset", headers=once)
    assert again.status_code == 200
    resets = [one for one in (await admin.get(f"{WS}/ledger")).json() if one["op"] == "reset"]
    assert [(one["account"], one["posted"]) for one in resets] == [(f"s:{sid}", "50")]


async def test_the_workspace_and_its_users_are_reset_too(
    admin: httpx.AsyncClient, base: str
) -> None:
    for query, account in (("", "ws"), ("?user=ann", "user:ann")):
        view = (await admin.post(f"{WS}/reset{query}")).json()
        assert view["account"] == account
    assert (await admin.post(f"{WS}/reset?user=nobody")).status_code == 404


@pytest.mark.parametrize("place", ["session", "user", "workspace"])
async def test_a_period_is_set_changed_and_ended(
    store: Store, admin: httpx.AsyncClient, base: str, place: str
) -> None:
    path = {"session": f"{base}/budget/period", "user": f"{WS}/period?user=ann"}.get(
        place, f"{WS}/period"
    )
    body: dict[str, object] = {"period": "day", "time_zone": "Europe/Berlin"}
    view = (await admin.put(path, json=body)).json()
    expected = next_reset_ms("day", "Europe/Berlin", await redis_ms(store))
    assert (view["period"], view["time_zone"], view["resets_ms"]) == (
        "day", "Europe/Berlin", expected,
    )  # fmt: skip
    soon = await redis_ms(store) + 60_000
    view = (await admin.put(path, json={"period": "month", "resets_ms": soon})).json()
    assert (view["period"], view["time_zone"], view["resets_ms"]) == ("month", "UTC", soon)
    view = (await admin.put(path, json={"period": "none"})).json()
    assert (view["period"], view["resets_ms"]) == ("none", None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"period": "week"}, "period"),
        ({}, "period"),
        ({"period": "day", "time_zone": "Europe/Atlantis"}, "time_zone"),
        ({"period": "day", "resets_ms": 1_000}, "resets_ms"),
        ({"period": "day", "resets_ms": "1000"}, "resets_ms"),
        ({"period": "day", "resets_at": 1}, "resets_at"),
    ],
)
async def test_a_bad_period_is_named_and_changes_nothing(
    admin: httpx.AsyncClient, base: str, body: dict[str, object], field: str
) -> None:
    before = (await admin.get(WS)).json()
    answer = await admin.put(f"{WS}/period", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert (await admin.get(WS)).json() == before
    assert (await admin.get(f"{WS}/ledger")).json() == []
