"""A cancel carries a reason, for people."""

from typing import Any

import httpx
import pytest

from bursar.store.codec import text
from bursar.store.store import Store
from support.gateway import begin_turn, kinds, read_all


async def _put(admin: httpx.AsyncClient, base: str) -> dict[str, str]:
    accepted: dict[str, str] = (await admin.post(f"{base}/turns", json={"input": "x"})).json()
    return accepted


async def test_the_reason_stands_in_the_turn_and_in_its_event(
    admin: httpx.AsyncClient, base: str
) -> None:
    turn = await _put(admin, base)
    body = {"reason": "nicht mehr nötig"}
    cancelled = await admin.post(f"{turn['status_url']}/cancel", json=body)
    view = cancelled.json()
    assert cancelled.status_code == 202
    assert (view["state"], view["code"], view["reason"]) == (
        "cancelled", "cancelled", "nicht mehr nötig",
    )  # fmt: skip
    assert (await admin.get(turn["status_url"])).json() == view
    sent = await read_all(admin, turn["events_url"])
    assert kinds(sent) == ["turn.queued", "turn.cancelled"]
    assert (sent[-1].json()["code"], sent[-1].json()["reason"]) == ("cancelled", view["reason"])


@pytest.mark.parametrize("body", [None, {}])
async def test_without_a_reason_it_was_on_request(
    admin: httpx.AsyncClient, base: str, body: dict[str, str] | None
) -> None:
    turn = await _put(admin, base)
    cancelled = await admin.post(f"{turn['status_url']}/cancel", json=body)
    assert cancelled.json()["reason"] == "on request"


async def test_the_first_reason_of_a_running_turn_stays(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    turn = await _put(admin, base)
    played = await begin_turn(store, "acme", sid)
    for reason in ("first", "second"):
        body = {"reason": reason}
        asked = await admin.post(f"{turn['status_url']}/cancel", json=body)
        assert (asked.status_code, asked.json()["state"]) == (202, "running")
    assert [item.kind for item in await played.inbox()] == ["cancel"]
    record = store.workspace("acme").turn(turn["turn"])
    assert text(await store.redis.call("HGET", record, "cancel_reason")) == "first"


async def test_a_turn_that_has_ended_keeps_its_end(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    turn = await _put(admin, base)
    played = await begin_turn(store, "acme", sid)
    await played.finish()
    late = await admin.post(f"{turn['status_url']}/cancel", json={"reason": "too late"})
    assert (late.json()["state"], late.json()["reason"]) == ("succeeded", "")


@pytest.mark.parametrize("wrong", ["", "x" * 201, "a\tb", "a\nb", "\x1b[31m", 1, None])
async def test_a_reason_that_cannot_be_printed_is_refused_and_cancels_nothing(
    admin: httpx.AsyncClient, base: str, wrong: Any
) -> None:
    turn = await _put(admin, base)
    answer = await admin.post(f"{turn['status_url']}/cancel", json={"reason": wrong})
    assert (answer.status_code, answer.json()["field"]) == (422, "reason")
    assert (await admin.get(turn["status_url"])).json()["state"] == "queued"


async def test_the_longest_reason_is_taken_as_it_is(admin: httpx.AsyncClient, base: str) -> None:
    turn = await _put(admin, base)
    reason = "é" * 200
    cancelled = await admin.post(f"{turn['status_url']}/cancel", json={"reason": reason})
    assert cancelled.json()["reason"] == reason
