"""Killed workers and a server that goes away: nothing accepted is lost."""

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bursar.cli.supervisor import Installation
from bursar.client import Client
from support.waiting import ended, wait_for

SLOW = "local:echo?delay_ms=40&tokens=160"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Installation]:
    """With its data on disk, so that the server can be killed and started again."""
    with Installation(workers=2, data=tmp_path) as running:
        yield running


@pytest.fixture
def client(site: Installation) -> Iterator[Client]:
    with site.client() as made:
        yield made


def driver_of(client: Client, session: str) -> int:
    """The process id of the worker that drives a session now."""
    found: list[int] = []

    def look() -> bool:
        worker = client.get_session(session).worker
        found[:] = [view.pid for view in client.list_workers() if view.id == worker]
        return bool(found)

    wait_for(look, f"worker of {session}")
    return found[0]


def streaming(client: Client, turn: str) -> None:
    """Wait until the turn's text has begun."""
    for event in client.turn_events(turn):
        if event.kind == "text.delta":
            return
    pytest.fail("the turn ended before it said anything")


def test_a_worker_killed_in_a_turn_is_replaced_within_15_seconds(
    site: Installation, client: Client
) -> None:
    session = client.create_session("echo", model=SLOW)
    turn = client.start_turn(session, "carry on whatever happens").turn
    streaming(client, turn)
    victim = driver_of(client, session.id)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: client.get_turn(turn).ended, "end of the turn elsewhere", timeout_s=15)
    result = client.get_result(turn)
    assert result.ok, result
    events = list(client.turn_events(turn))
    kinds = [event.kind for event in events]
    assert "step.abandoned" in kinds
    assert sum(kind.startswith("turn.succeeded") for kind in kinds) == 1
    workers = [e.data["worker"] for e in events if e.kind == "turn.started"]
    assert len(workers) == 1
    assert victim not in {view.pid for view in client.list_workers() if view.id not in workers}


def test_a_worker_that_is_told_to_stop_hands_its_turn_over(
    site: Installation, client: Client
) -> None:
    session = client.create_session("echo", model="local:echo?delay_ms=40&tokens=500")
    turn = client.start_turn(session, "hand me over").turn
    streaming(client, turn)
    victim = driver_of(client, session.id)
    index = next(i for i, worker in enumerate(site.workers) if worker.pid == victim)
    stopper = threading.Thread(target=site.stop_worker, args=(index,))
    stopper.start()
    wait_for(lambda: client.get_turn(turn).ended, "end of the turn", timeout_s=60)
    stopper.join()
    assert client.get_result(turn).ok


def test_redis_may_go_away_and_come_back_in_the_middle_of_a_turn(
    site: Installation, client: Client
) -> None:
    assert site.server is not None
    session = client.create_session("echo", model=SLOW)
    turn = client.start_turn(session, "still here").turn
    queued = client.start_turn(session, "and then me").turn
    streaming(client, turn)
    site.server.stop()
    site.server.start()
    for each in (turn, queued):
        wait_for(partial(ended, client, each), "end after the outage", timeout_s=40)
        assert client.get_result(each).ok
    text = client.get_result(turn).output
    assert text.startswith("still here still here")


def test_a_lost_queue_costs_seconds_and_no_turn(site: Installation, client: Client) -> None:
    """Bells are all that the queue holds: its loss is made good by the sweeper."""
    from redis import Redis

    session = client.create_session("echo")
    queue = Redis.from_url(site.redis_url.replace("/0", "/1"))
    turns = []
    for number in range(10):
        turns.append(client.start_turn(session, f"number {number}").turn)
        queue.flushdb()
    queue.close()
    for turn in turns:
        wait_for(partial(ended, client, turn), "turn", timeout_s=20)
        assert client.get_result(turn).ok
