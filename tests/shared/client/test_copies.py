"""Forks and documents through both kinds of client."""

import json
from typing import Any

import pytest

from bursar.client import SessionView
from bursar.errors import Conflict, GatewayUnreachable, InvalidInput
from support.both_clients import Make, ask
from support.stub_gateway import Answer, StubGateway, problem

VIEW: dict[str, Any] = {
    "id": "s2", "workspace": "acme", "user": "u", "agent": "a", "state": "idle",
    "forked_from": "s1", "forked_at": 4,
}  # fmt: skip
SESSIONS = "/v1/workspaces/acme/sessions"
FORK, EXPORT = f"POST {SESSIONS}/s1/fork", f"GET {SESSIONS}/s1/export"
IMPORT = f"POST {SESSIONS}/import"
DOCUMENT = b'{"schema_version":1,"session":{},"messages":[\n{"role":"user","text":"a"}\n]}\n'


async def lines(answer: Any) -> list[bytes]:
    if hasattr(answer, "__aiter__"):
        return [line async for line in answer]
    return list(answer)


async def test_a_fork_sends_what_is_given_once(stub: StubGateway, make: Make) -> None:
    stub.on(FORK, Answer(drop=True), VIEW)
    made: SessionView = await ask(make(stub.url).fork_session("s1", 4, title="x"))
    assert (made.id, made.forked_from, made.forked_at) == ("s2", "s1", 4)
    first, second = stub.asked(FORK)
    assert first.body == second.body == {"at": 4, "title": "x"}
    keys = {seen.headers["idempotency-key"] for seen in (first, second)}
    assert len(keys) == 1


async def test_a_refused_point_comes_with_the_nearest(stub: StubGateway, make: Make) -> None:
    stub.on(FORK, problem(422, "inside_step", field="at", before=0, after=3))
    with pytest.raises(InvalidInput) as caught:
        await ask(make(stub.url).fork_session("s1", 1))
    assert (caught.value.field, caught.value.details) == ("at", {"before": 0, "after": 3})


async def test_a_document_is_read_in_lines(stub: StubGateway, make: Make) -> None:
    stub.on(EXPORT, Answer(DOCUMENT))
    found = await lines(make(stub.url).export_session("s1"))
    assert b"\n".join(found) + b"\n" == DOCUMENT
    stub.replace(EXPORT, Answer(DOCUMENT, cut=True))
    with pytest.raises(GatewayUnreachable):
        await lines(make(stub.url).export_session("s1"))


@pytest.mark.parametrize("document", [DOCUMENT, json.loads(DOCUMENT)])
async def test_a_document_is_sent_as_it_is(
    stub: StubGateway, make: Make, document: bytes | dict[str, Any]
) -> None:
    stub.on(IMPORT, Answer(drop=True), VIEW)
    client = make(stub.url)
    await ask(client.import_session(document, new_id=True, limit_microusd=5))
    first, second = stub.asked(IMPORT)
    assert first.body == second.body == json.loads(DOCUMENT)
    assert first.query == "new_id=true&limit_microusd=5"
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    stub.replace(IMPORT, problem(409, "session_exists"))
    with pytest.raises(Conflict):
        await ask(client.import_session(document))
    assert stub.asked(IMPORT)[-1].query == ""
