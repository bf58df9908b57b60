"""Jobs over HTTP: what is taken, what is refused by name, and what a gateway that died leaves."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bursar.failpoints import arm, disarm
from bursar.jobs.making import clear_away
from bursar.registry import redis_ms
from bursar.sessions import locate
from bursar.store.codec import text
from bursar.store.store import Store
from support.gateway import Running

JOBS = "/v1/workspaces/acme/jobs"
LINES = {"Content-Type": "application/jsonl"}


@pytest.fixture
async def acme(admin: httpx.AsyncClient) -> str:
    await admin.post("/v1/workspaces", json={"id": "acme"})
    return JOBS


@pytest.fixture
def broken() -> Iterator[None]:
    yield
    disarm()


async def sessions_of(store: Store) -> int:
    return int(await store.redis.call("ZCARD", store.workspace("acme").sessions))


async def test_a_job_is_stored_when_it_is_accepted(
    admin: httpx.AsyncClient, acme: str, store: Store
) -> None:
    body = {"agent": "echo", "inputs": ["one", {"input": "two", "id": "b"}], "title": "Two"}
    answer = await admin.post(acme, json=body)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"{acme}/{job['id']}"
    assert (job["state"], job["total"], job["waiting"], job["open"]) == ("queued", 2, 2, 0)
    assert (await admin.get(f"{acme}/{job['id']}")).json() == job
    assert (await admin.get(acme)).json()["jobs"] == [job]
    lines = (await admin.get(f"{acme}/{job['id']}/results")).text.splitlines()
    bare = {"state": "waiting", "output": "", "cost_microusd": 0, "steps": 0, "attempts": 0}
    expected = [{"index": 0} | bare, {"index": 1, "id": "b"} | bare]
    assert [json.loads(line) for line in lines] == expected
    ended = (await admin.get(f"{acme}/{job['id']}/results?state=ended")).text
    assert ended == ""
    # Progress is in the session's hash, for dashboards.
    key = locate(store, "acme", job["id"]).hash
    counts = await store.redis.call("HMGET", key, "job_total", "job_open", "job_succeeded")
    assert list(map(text, counts)) == ["2", "0", "0"]


async def test_inputs_may_come_as_lines_with_options_in_the_query(
    admin: httpx.AsyncClient, acme: str
) -> None:
    lines = '"one"\n\n{"input": "two", "id": "b", "custom": {"row": 2}}\n'
    query = {
        "agent": "echo",
        "attempts": "2",
        "limit_microusd": "5000",
        "output": '{"type": "object"}',
    }
    answer = await admin.post(acme, content=lines, params=query, headers=LINES)
    assert answer.status_code == 202, answer.text
    assert (answer.json()["total"], answer.json()["limit_microusd"]) == (2, 5000)


@pytest.mark.parametrize(
    ("lines", "query", "field"),
    [
        ('"a"\n5\n', {}, "inputs[1]"),
        ('"a"\n{"input": 5}\n', {}, "inputs[1].input"),
        ('"a"\n{"inputs": "b"}\n', {}, "inputs[1].inputs"),
        ('"a"\n{"input": \n', {}, "inputs[1]"),
        ('"a"\n" "\n', {}, "inputs[1].input"),
        ("\n", {}, "inputs"),
        ('"a"', {"attempts": "many"}, "attempts"),
        ('"a"', {"output": "{"}, "output"),
        ('"a"', {"output": '{"type": "nope"}'}, "output"),
        ('"a"', {"output": '{"$schema": "http://["}'}, "output"),
        ('"a"', {"output": '{"not":' * 40 + "{}" + "}" * 40}, "output"),
        ('"a"', {"colour": "red"}, "colour"),
        ('"a"', {"agent": "nobody"}, "agent"),
    ],
)
async def test_what_is_wrong_in_lines_is_named_and_nothing_is_made(
    admin: httpx.AsyncClient, acme: str, store: Store, lines: str, query: dict[str, str], field: str
) -> None:
    params = {"agent": "echo"} | query
    answer = await admin.post(acme, content=lines, params=params, headers=LINES)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert await sessions_of(store) == 0


async def test_other_routes_take_no_lines(admin: httpx.AsyncClient, acme: str) -> None:
    answer = await admin.post("/v1/workspaces", content='{"id": "beta"}', headers=LINES)
    assert (answer.status_code, answer.json()["code"]) == (415, "not_json")


async def test_a_job_may_be_larger_than_other_bodies_up_to_a_bound(
    admin: httpx.AsyncClient, acme: str, live: Running
) -> None:
    inputs = ["x" * 900_000] * 4
    answer = await admin.post(acme, json={"agent": "echo", "inputs": inputs})
    assert answer.status_code == 202, answer.text
    large = await admin.post(acme, json={"agent": "echo", "inputs": ["x" * 900_000] * 40})
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")


async def test_the_same_request_makes_one_job(admin: httpx.AsyncClient, acme: str) -> None:
    body = {"agent": "echo", "inputs": ["one"]}
    key = {"Idempotency-Key": "k"}
    first = (await admin.post(acme, json=body, headers=key)).json()
    assert (await admin.post(acme, json=body, headers=key)).json() == first
    other = await admin.post(acme, json=body | {"inputs": ["two"]}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert len((await admin.get(acme)).json()["jobs"]) == 1
    for query in ("agent=echo", "agent=echo&attempts=2"):
        answer = await admin.post(
            f"{acme}?{query}", content='"x"', headers=LINES | {"Idempotency-Key": "l"}
        )
    assert answer.status_code == 409, "the options are a part of the request"


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("place", ["C18=raise@3", "C19=raise"])
async def test_a_making_that_broke_off_is_completed_by_the_same_request(
    admin: httpx.AsyncClient, acme: str, store: Store, live: Running, place: str
) -> None:
    body = {"agent": "echo", "inputs": [f"input {n}" for n in range(1000)]}
    key = {"Idempotency-Key": "k"}
    arm(live.gateway.settings.model_copy(update={"failpoints": place}))
    assert (await admin.post(acme, json=body, headers=key)).status_code == 500
    disarm()
    assert (await admin.get(acme)).json()["jobs"] == [], "it has not started"
    answer = await admin.post(acme, json=body, headers=key)
    assert answer.status_code == 202, answer.text
    assert (answer.json()["total"], answer.json()["state"]) == (1000, "queued")
    assert await sessions_of(store) == 1
    stored = await store.redis.call(
        "HMGET", locate(store, "acme", answer.json()["id"]).joins, "job:item:0", "job:item:999"
    )
    assert all(f"input {n}".encode() in item for n, item in zip((0, 999), stored, strict=True))


@pytest.mark.usefixtures("broken")
async def test_a_making_that_nobody_completes_is_cleared_away(
    admin: httpx.AsyncClient, acme: str, store: Store, live: Running
) -> None:
    body = {"agent": "echo", "inputs": [f"input {n}" for n in range(1000)]}
    key = {"Idempotency-Key": "k"}
    arm(live.gateway.settings.model_copy(update={"failpoints": "C18=raise@3"}))
    await admin.post(acme, json=body, headers=key)
    disarm()
    ws = store.workspace("acme")
    (sid,) = map(text, await store.redis.call("ZRANGE", ws.sessions, 0, -1))
    session = ws.session(sid)
    opening = (await admin.get(f"{acme}/{sid}")).json()
    assert (opening["state"], opening["total"]) == ("opening", 500)
    refused = await admin.post(f"/v1/workspaces/acme/sessions/{sid}/turns", json={"input": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "is_job")
    refused = await admin.post(f"{acme}/{sid}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_opening")
    await clear_away(store, session)
    assert await sessions_of(store) == 1, "its time has not come"
    timer = session.timer("job", "-")
    await store.redis.call("ZADD", ws.shard.timers, await redis_ms(store) - 1, timer)
    await clear_away(store, session)
    assert await sessions_of(store) == 0
    assert await store.redis.call("EXISTS", session.hash, session.joins) == 0
    assert await store.redis.call("ZSCORE", ws.shard.timers, timer) is None
    answer = await admin.post(acme, json=body, headers=key)
    assert (answer.status_code, answer.json()["id"] != sid) == (202, True), "made anew"


async def test_two_who_make_the_same_job_make_one(
    admin: httpx.AsyncClient, acme: str, store: Store
) -> None:
    body = {"agent": "echo", "inputs": [f"input {n}" for n in range(2000)]}
    key = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(admin.post(acme, json=body, headers=key) for _ in range(4)))
    assert {each.status_code for each in answers} == {202}
    assert len({each.json()["id"] for each in answers}) == 1
    fields: dict[Any, Any] = await store.redis.call(
        "HGETALL", locate(store, "acme", answers[0].json()["id"]).joins
    )
    assert sum(b"job:item:" in field for field in fields) == 2000


async def test_states_that_refuse(
    admin: httpx.AsyncClient, acme: str, sid: str, store: Store
) -> None:
    job = (await admin.post(acme, json={"agent": "echo", "inputs": ["one"]})).json()["id"]
    again = await admin.post(f"{acme}/{job}/retry")
    assert (again.status_code, again.json()["code"]) == (409, "session_busy")
    deleted = await admin.delete(f"{acme}/{job}")
    assert (deleted.status_code, deleted.json()["code"]) == (409, "session_busy")
    cancelled = await admin.post(f"{acme}/{job}/cancel", json={"reason": "enough"})
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert cancelled.json()["reason"] == "enough"
    ws = store.workspace("acme")
    await store.redis.call("DEL", ws.turn(cancelled.json()["turn"]))  # as after a week
    cancelled = await admin.post(f"{acme}/{job}/cancel")
    assert (cancelled.status_code, cancelled.json()["total"]) == (202, 1)
    again = await admin.post(f"{acme}/{job}/retry")
    assert (again.status_code, again.json()["state"]) == (202, "queued")
    await admin.post(f"{acme}/{job}/cancel")
    assert (await admin.delete(f"{acme}/{job}")).status_code == 204
    assert (await admin.get(f"{acme}/{job}")).json()["code"] == "job_not_found"
    assert (await admin.get(f"{acme}/{sid}")).json()["code"] == "job_not_found"
    wrong = await admin.get(f"{acme}/{job}/results?state=odd")
    assert (wrong.status_code, wrong.json()["field"]) == (422, "state")
