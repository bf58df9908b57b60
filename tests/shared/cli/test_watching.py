"""Open questions are followed over whatever happens to the stream that tells of them."""

from collections.abc import Iterator
from itertools import islice

import pytest

from bursar.cli import watching
from bursar.cli.watching import watch_questions
from bursar.client import Client
from bursar.errors import GatewayUnreachable
from support.samples import approval
from support.stub_gateway import Answer, StubGateway, event, problem, stream

MANY = "/v1/workspaces/default/approvals"
EVENTS = f"GET {MANY}/events"


@pytest.fixture
def client(stub: StubGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("bursar.client.problems._FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("bursar.client.problems.MAX_PAUSE_S", 0.002)
    monkeypatch.setattr(watching, "_PAUSE_S", 0.001)
    stub.on(f"GET {MANY}", [])
    with Client(stub.url, "secret") as made:
        yield made


def told(client: Client, count: int) -> list[tuple[str, str]]:
    changes = islice(watch_questions(client), count)
    return [(change.view.id, change.view.state) for change in changes]


def one(name: str, state: str = "pending") -> dict[str, object]:
    return approval(id=name, state=state)


def test_each_change_is_the_question_as_it_is_then(stub: StubGateway, client: Client) -> None:
    stub.on(
        EVENTS,
        stream(
            event(1, "approval.requested", approval="apr_1"),
            event(2, "approval.deferred", approval="apr_1"),
            event(3, "approval.resolved", approval="apr_1"),
        ),
    )
    stub.on(f"GET {MANY}/apr_1", one("apr_1"), one("apr_1", "deferred"), one("apr_1", "denied"))
    assert told(client, 3) == [("apr_1", s) for s in ("pending", "deferred", "denied")]


def test_what_was_told_is_not_told_again(stub: StubGateway, client: Client) -> None:
    """As after a reset, which is followed by all that is open."""
    stub.on(
        EVENTS,
        stream(
            event(1, "approval.requested", approval="apr_1"),
            event(2, "reset", generation=8),
            event(2, "approval.requested", approval="apr_1", generation=8),
            event(3, "approval.requested", approval="apr_2", generation=8),
        ),
    )
    stub.replace(f"GET {MANY}", [one("apr_1")])
    stub.on(f"GET {MANY}/apr_1", one("apr_1"))
    stub.on(f"GET {MANY}/apr_2", one("apr_2"))
    assert told(client, 2) == [("apr_1", "pending"), ("apr_2", "pending")]


@pytest.mark.parametrize("kind", ["gap", "reset"])
def test_what_happened_in_a_gap_is_found_out(stub: StubGateway, client: Client, kind: str) -> None:
    stub.on(EVENTS, stream(event(1, "approval.requested", approval="apr_1"), event(2, kind)))
    stub.replace(f"GET {MANY}", [], [one("apr_2")])
    stub.on(f"GET {MANY}/apr_1", one("apr_1"), one("apr_1", "approved"))
    assert sorted(told(client, 3)) == [
        ("apr_1", "approved"), ("apr_1", "pending"), ("apr_2", "pending"),
    ]  # fmt: skip


def test_a_question_that_is_gone_is_passed_over(stub: StubGateway, client: Client) -> None:
    first, second = (event(n, "approval.requested", approval=f"apr_{n}") for n in (1, 2))
    stub.on(EVENTS, stream(first, second))
    stub.on(f"GET {MANY}/apr_1", problem(404, "approval_not_found"))
    stub.on(f"GET {MANY}/apr_2", one("apr_2"))
    assert told(client, 1) == [("apr_2", "pending")]


def test_a_gateway_that_goes_away_is_waited_for(stub: StubGateway, client: Client) -> None:
    """More often than the stream itself would try, and from where it was."""
    first, second = (event(n, "approval.requested", approval=f"apr_{n}") for n in (1, 2))
    stub.on(EVENTS, stream(first, cut=True), *[Answer(drop=True)] * 15, stream(second))
    for number in (1, 2):
        stub.on(f"GET {MANY}/apr_{number}", one(f"apr_{number}"))
    assert told(client, 2) == [("apr_1", "pending"), ("apr_2", "pending")]
    assert stub.asked(EVENTS)[-1].headers["last-event-id"] == "7-1"


def test_a_gateway_that_was_never_there_is_an_error() -> None:
    with (
        Client("http://127.0.0.1:9", "secret", retries=0) as client,
        pytest.raises(GatewayUnreachable),
    ):
        next(watch_questions(client))


def test_only_a_tree_is_asked_for(stub: StubGateway, client: Client) -> None:
    stub.on(EVENTS, stream(event(1, "approval.requested", approval="apr_1")))
    stub.on(f"GET {MANY}/apr_1", one("apr_1"))
    next(watch_questions(client, root="s1"))
    assert stub.asked(EVENTS)[0].query == "root=s1"
