"""The main job over HTTP, with two worker processes that share the work."""

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from bursar.cli.supervisor import Installation
from bursar.client import Client
from bursar.errors import InvalidInput
from bursar.messages import AssistantMessage
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.store import Store
from support.invariants import check_accounts, check_lifetimes
from support.schema import undocumented
from support.waiting import ended, wait_for

ABSENT = "redis://127.0.0.1:1/0"
SLOW = "local:echo?delay_ms=30&tokens=40"


def test_the_reader_reads_files_and_writes_a_report(
    client: Client, installation: Installation, folder: Path
) -> None:
    session = client.create_session("reader", workspace_path="papers", limit_microusd=1_000_000)
    stream = client.stream(session, "What matters in these files?")
    kinds = [event.kind for event in stream]
    result = stream.result()
    assert result.ok, result
    assert kinds[0] == "turn.queued"
    assert kinds[-1] == "turn.succeeded"
    assert {"tool.started", "tool.finished", "text.delta", "usage"} <= set(kinds)
    report = (folder / "papers" / "bursar-report" / "report.md").read_text()
    assert "tides.md:" in report
    budget = client.get_session_budget(session)
    assert budget.account.posted_microusd == result.cost_microusd > 0
    assert budget.account.pending_microusd == 0
    assert [account.account for account in budget.path] == [
        "ws",
        "user:anonymous",
        f"s:{session.id}",
    ]


def test_the_streamed_text_is_the_committed_text(client: Client) -> None:
    session = client.create_session("echo")
    stream = client.stream(session, "one two three")
    for _ in stream:
        pass
    assert stream.text == stream.result().output == "one two three"


def test_two_workers_share_the_work(client: Client) -> None:
    sessions = [client.create_session("echo", model=SLOW) for _ in range(16)]
    accepted = [client.start_turn(session, "share this") for session in sessions]
    for turn in accepted:
        wait_for(partial(ended, client, turn.turn), "turn", timeout_s=30)
    workers = set()
    for session, turn in zip(sessions, accepted, strict=True):
        assert client.get_turn(turn.turn).state == "succeeded", session
        started = next(e for e in client.turn_events(turn.turn) if e.kind == "turn.started")
        workers.add(started.data["worker"])
    assert len(workers) == 2


def test_turns_of_a_session_run_one_at_a_time_in_order(client: Client) -> None:
    session = client.create_session("echo")
    turns = [client.start_turn(session, f"number {number}").turn for number in range(5)]
    for turn in turns:
        wait_for(partial(ended, client, turn), "turn")
    messages = client.list_messages(session)
    said = [message.text for message in messages if isinstance(message, AssistantMessage)]
    assert said == [f"number {number}" for number in range(5)]


def test_an_input_for_an_agent_that_nobody_knows_is_refused_by_name(client: Client) -> None:
    with pytest.raises(InvalidInput) as refused:
        client.create_session("nobody")
    assert (refused.value.code, refused.value.field) == ("unknown_agent", "agent")
    assert "echo" in refused.value.message


def test_redis_holds_nothing_that_the_schema_does_not_name(installation: Installation) -> None:
    """Runs last in this module, over all that the tests before it left behind."""

    async def look() -> list[str]:
        store: Store = await open_store(Settings(redis_url=installation.redis_url))
        try:
            await check_lifetimes(store)
            await check_accounts(store)
            return await undocumented(store)
        finally:
            await store.aclose()

    assert asyncio.run(look()) == []


def test_a_worker_is_small_before_a_provider_loads(installation: Installation) -> None:
    for pid in installation.worker_pids:
        status = Path(f"/proc/{pid}/status")
        if not status.exists():
            pytest.fail("this test reads /proc, run it on Linux")
        rss_kib = int(status.read_text().split("VmRSS:")[1].split()[0])
        assert rss_kib < 90 * 1024


def test_the_front_door_loads_no_heavy_package() -> None:
    code = (
        "import sys, bursar;"
        "heavy = {'redis', 'arq', 'pydantic', 'pydantic_ai', 'httpx', 'litestar'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "variables", "status", "expected"),
    [
        ("bursar_worker", {"BURSAR_AGENTS": "broken_agents"}, 2, "half written ("),
        ("bursar_worker", {"BURSAR_AGENTS": "no.such.module"}, 2, "no.such.module"),
        ("bursar_worker", {"BURSAR_SLOTS": "many"}, 2, "BURSAR_SLOTS: "),
        ("bursar_worker", {"BURSAR_REDIS_URL": ABSENT}, 1, "Redis did not answer"),
        ("bursar_gateway", {"BURSAR_REDIS_URL": ABSENT}, 1, "Redis did not answer"),
        ("bursar_gateway", {"BURSAR_PORT": "-4"}, 2, "BURSAR_PORT: "),
    ],
)
def test_a_process_that_cannot_start_says_why_in_one_place(
    module: str, variables: dict[str, str], status: int, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "broken_agents.py").write_text(
        "import bursar\n\nraise RuntimeError('half written')\n"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.run(
        [sys.executable, "-m", module],
        env={**os.environ, **variables, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == status
    assert expected in process.stderr
    assert "Traceback" not in process.stderr
