"""Both clients ask for audit logs, and read an export line by line."""

from typing import Any

import pytest

from bursar.client import AcceptedAudit, AuditEntry, AuditPage, AuditState, TrimmedAudit
from bursar.errors import Conflict, GatewayUnreachable
from support.both_clients import Make, ask
from support.stub_gateway import Answer, StubGateway, problem

AUDIT = "/v1/workspaces/acme/audit"
ENTRY = {
    "seq": 3, "at_ms": 5, "workspace": "acme", "actor": "key:1", "action": "budget.limit",
    "decision": "done", "details": {"limit": "5"}, "something": "new",
}  # fmt: skip
STATE = {
    "workspace": "acme", "audit_seq": 3, "sealed_seq": 2, "published_seq": 2, "exported_seq": 0,
    "trimmed_seq": 0, "published": None,
}  # fmt: skip


async def lines(found: Any) -> list[bytes]:
    """All lines of an export of either kind of client."""
    if hasattr(found, "__aiter__"):
        return [line async for line in found]
    return list(found)


async def test_entries_heads_and_seals_are_asked_for(stub: StubGateway, make: Make) -> None:
    page = {"entries": [ENTRY], "seen_seq": 3, "more": False}
    for path in (AUDIT, "/v1/audit"):
        stub.on(f"GET {path}", page)
        stub.on(f"GET {path}/head", STATE)
        stub.on(f"GET {path}/seals", [])
    client = make(stub.url)
    found = await ask(client.list_audit(after=2, session="s1", action="budget.*", decision="done"))
    entry = AuditEntry(
        seq=3, at_ms=5, workspace="acme", actor="key:1", action="budget.limit", decision="done",
        details={"limit": "5"},
    )  # fmt: skip
    assert found == AuditPage([entry], 3, more=False)
    assert stub.seen[0].query == "after=2&session=s1&action=budget.%2A&decision=done"
    assert await ask(client.list_installation_audit(before=9)) == found
    assert stub.seen[1].query == "before=9"
    state = AuditState("acme", 3, 2, 2, 0, 0, None)
    assert await ask(client.get_audit_head()) == state
    assert await ask(client.get_installation_audit_head()) == state
    assert await ask(client.list_audit_seals(after=1, limit=5)) == []
    assert await ask(client.list_installation_audit_seals()) == []


async def test_trimming_and_accepting_are_never_sent_twice(stub: StubGateway, make: Make) -> None:
    client = make(stub.url)
    trimmed = {"entries": 3, "trimmed_seq": 3, "more": False}
    accepted = {"published_seq": 9, "published_head": "a", "seq": 6, "head": "b"}
    for path in (AUDIT, "/v1/audit"):
        stub.on(f"POST {path}/trim", trimmed)
        stub.on(f"POST {path}/accept", accepted)
    assert await ask(client.trim_audit(3, "h")) == TrimmedAudit(3, 3, more=False)
    assert await ask(client.trim_installation_audit(3, "h")) == TrimmedAudit(3, 3, more=False)
    assert await ask(client.accept_audit("why")) == AcceptedAudit(9, "a", 6, "b")
    assert await ask(client.accept_installation_audit("why")) == AcceptedAudit(9, "a", 6, "b")
    assert [seen.body for seen in stub.seen] == [
        {"to_seq": 3, "head": "h"}, {"to_seq": 3, "head": "h"}, {"reason": "why"},
        {"reason": "why"},
    ]  # fmt: skip
    stub.replace(f"POST {AUDIT}/trim", Answer(drop=True))
    with pytest.raises(GatewayUnreachable):
        await ask(client.trim_audit(3, "h"))
    assert len(stub.asked(f"POST {AUDIT}/trim")) == 2


@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_an_export_comes_line_by_line(stub: StubGateway, make: Make, end: bytes) -> None:
    long = b"x" * 200_000
    body = b"\n".join([b"one", long, b"", b"three"]) + end
    stub.on(f"GET {AUDIT}/export", Answer(body, content_type="application/jsonl"))
    stub.on("GET /v1/audit/export", Answer(body, content_type="application/jsonl"))
    client = make(stub.url)
    assert await lines(client.export_audit(unsealed=True)) == [b"one", long, b"", b"three"]
    assert await lines(client.export_installation_audit()) == [b"one", long, b"", b"three"]
    assert [seen.query for seen in stub.seen] == ["unsealed=true", ""]


async def test_an_export_that_is_refused_or_breaks_off_says_so(
    stub: StubGateway, make: Make
) -> None:
    client = make(stub.url)
    stub.on(f"GET {AUDIT}/export", problem(409, "audit_unreadable", "no log"))
    with pytest.raises(Conflict) as caught:
        await lines(client.export_audit())
    assert caught.value.code == "audit_unreadable"
    stub.replace(f"GET {AUDIT}/export", Answer(b"one\ntw", cut=True))
    with pytest.raises(GatewayUnreachable):
        await lines(client.export_audit())
