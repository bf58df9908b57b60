"""A session that outgrows its model's window, and a worker that is killed while it is shortened."""

import os
import signal
from collections.abc import Iterator

import pytest
from redis import Redis

from bursar.cli.supervisor import Installation
from bursar.client import Client
from bursar.store.keys import WorkspaceKeys
from support.waiting import wait_for

SLOW = "local:echo?delay_ms=10"
WORDS = "The harbour master wrote down depth {0} metres at berth {0} and signed the page. "


@pytest.fixture
def site() -> Iterator[Installation]:
    with Installation(workers=2) as running:
        yield running


@pytest.fixture
def client(site: Installation) -> Iterator[Client]:
    with site.client() as made:
        yield made


def driver_of(client: Client, session: str) -> int:
    worker = client.get_session(session).worker
    return next(view.pid for view in client.list_workers() if view.id == worker)


def test_a_worker_killed_in_a_summary_leaves_the_context_and_another_makes_it(
    site: Installation, client: Client
) -> None:
    session = client.create_session("echo", model=SLOW)
    for number in range(14):
        text = "".join(WORDS.format(f"{number}.{line}") for line in range(550))
        client.add_message(session, text)
    redis: Redis = Redis.from_url(site.redis_url)
    keys = WorkspaceKeys("default", 16).session(session.id)

    def summarising() -> bool:
        fields = redis.hkeys(keys.effects)
        return any(field.endswith(b"/compact") for field in fields)  # type: ignore[union-attr]

    turn = client.start_turn(session, "And the depth at berth one?").turn
    wait_for(summarising, "hold of a summary")
    os.kill(driver_of(client, session.id), signal.SIGKILL)
    view = client.get_session(session)
    assert (view.context_start, view.summarised) == (0, False)
    wait_for(lambda: client.get_turn(turn).ended, "end of the turn elsewhere", timeout_s=30)
    result = client.get_result(turn)
    assert result.ok, result
    assert result.output == "And the depth at berth one?"
    view = client.get_session(session)
    assert (view.context_start, view.summarised, view.message_count) == (5, True, 16)
    assert len(client.list_messages(session, last=100)) == 16
    kinds = [event.kind for event in client.turn_events(turn)]
    assert kinds.count("context.compacted") == 1
    assert "step.abandoned" not in kinds
    entries = [e for e in client.get_ledger() if e["kind"] == f"compact:{SLOW}"]
    assert sorted(entry["op"] for entry in entries) == ["commit", "unconfirmed"]
    assert client.audit_budget().differences == []
    summary = redis.hget(keys.text, "summary")
    assert isinstance(summary, bytes)
    assert b"harbour master" in summary
    redis.close()
