"""Watching questions with both clients: over any number of cuts, and for as long as one likes."""

from typing import Any

import pytest

from bursar.client import ClientEvent
from bursar.errors import GatewayUnreachable, NotFound
from support.both_clients import Make
from support.stub_gateway import Answer, StubGateway, event, problem, stream

PATH = "/v1/workspaces/acme/approvals/events"
FEED = f"GET {PATH}"


def asked(seq: int, approval: str) -> bytes:
    return event(seq, "approval.requested", approval=approval, root="s1")


def shown(approval: str) -> bytes:
    """One of those that are open at the beginning: it has no cursor."""
    return b"id:\n" + asked(1, approval).partition(b"\n")[2]


def mark(seq: int) -> bytes:
    return f"id: 7-{seq}\n\n".encode()


async def first(watching: Any, count: int) -> list[ClientEvent]:
    """So many events of either kind of client; the stream has no end."""
    found: list[ClientEvent] = []
    if hasattr(watching, "__aiter__"):
        async for one in watching:
            found.append(one)
            if len(found) == count:
                break
        await watching.aclose()
        return found
    for one in watching:
        found.append(one)
        if len(found) == count:
            break
    watching.close()
    return found


def told(events: list[ClientEvent]) -> list[str]:
    return [one.data["approval"] for one in events]


async def test_a_cut_feed_goes_on_behind_the_last_event(stub: StubGateway, make: Make) -> None:
    stub.on(FEED, stream(shown("a"), mark(4), asked(5, "b"), cut=True), stream(asked(6, "c")))
    found = await first(make(stub.url).watch_approvals(), 3)
    assert told(found) == ["a", "b", "c"]
    assert [one.id for one in found] == ["", "7-5", "7-6"]
    assert [seen.headers.get("last-event-id") for seen in stub.seen] == [None, "7-5"]


async def test_a_feed_that_was_cut_while_it_showed_what_is_open_begins_again(
    stub: StubGateway, make: Make
) -> None:
    whole = stream(shown("a"), shown("b"), mark(4), asked(5, "c"))
    stub.on(FEED, stream(shown("a"), cut=True), whole)
    assert told(await first(make(stub.url).watch_approvals(), 4)) == ["a", "a", "b", "c"]
    assert [seen.headers.get("last-event-id") for seen in stub.seen] == [None, None]


async def test_the_end_of_what_is_open_is_a_place_to_resume_from(
    stub: StubGateway, make: Make
) -> None:
    stub.on(FEED, stream(mark(4), cut=True), stream(asked(5, "a")))
    assert told(await first(make(stub.url).watch_approvals(), 1)) == ["a"]
    assert [seen.headers.get("last-event-id") for seen in stub.seen] == [None, "7-4"]


async def test_what_is_open_after_a_reset_is_not_taken_for_old(
    stub: StubGateway, make: Make
) -> None:
    reset = event(0, "reset", generation=8, reason="generation", snapshot_url="/x")
    again = stream(reset, shown("a"), b"id: 8-3\n\n", event(4, "approval.resolved", generation=8))
    stub.on(FEED, stream(asked(9, "old"), cut=True), again)
    watching = make(stub.url).watch_approvals()
    found = await first(watching, 4)
    assert [one.kind for one in found] == [
        "approval.requested", "reset", "approval.requested", "approval.resolved",
    ]  # fmt: skip
    assert watching.cursor == "8-4"


async def test_what_is_open_after_a_reset_and_is_cut_off_begins_again(
    stub: StubGateway, make: Make
) -> None:
    reset = event(0, "reset", generation=8, reason="generation", snapshot_url="/x")
    whole = stream(shown("a"), shown("b"), b"id: 8-3\n\n")
    stub.on(FEED, stream(asked(9, "old"), cut=True), stream(reset, shown("a"), cut=True), whole)
    found = await first(make(stub.url).watch_approvals(), 5)
    assert [one.data.get("approval") for one in found] == ["old", None, "a", "a", "b"]
    assert [seen.headers.get("last-event-id") for seen in stub.seen] == [None, "7-9", None]


async def test_it_is_followed_from_a_cursor_and_for_one_tree(stub: StubGateway, make: Make) -> None:
    stub.on(FEED, stream(asked(5, "a")))
    await first(make(stub.url).watch_approvals(root="s1", after="7-4"), 1)
    (seen,) = stub.seen
    assert (seen.query, seen.headers["last-event-id"]) == ("root=s1", "7-4")


async def test_any_number_of_silent_connections_is_no_error(stub: StubGateway, make: Make) -> None:
    """Days may pass between two questions, and gateways are restarted."""
    stub.on(FEED, *[stream(mark(4), cut=True)] * 30, stream(asked(5, "a")))
    assert told(await first(make(stub.url).watch_approvals(), 1)) == ["a"]
    assert len(stub.seen) == 31


async def test_a_gateway_that_stays_away_is_an_error(stub: StubGateway, make: Make) -> None:
    stub.on(FEED, stream(asked(5, "a"), cut=True), Answer(drop=True))
    with pytest.raises(GatewayUnreachable):
        await first(make(stub.url).watch_approvals(), 2)


async def test_a_workspace_that_does_not_exist_is_an_error_at_once(
    stub: StubGateway, make: Make
) -> None:
    stub.on(FEED, problem(404, "workspace_not_found"))
    with pytest.raises(NotFound):
        await first(make(stub.url).watch_approvals(), 1)
    assert len(stub.seen) == 1
