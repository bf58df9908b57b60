"""Jobs on a real installation: processes die and nothing is lost or doubled; the command line."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bursar.cli.supervisor import Installation
from bursar.client import Client, JobView
from bursar.errors import GatewayUnreachable
from support.waiting import wait_for

SLOW = "local:echo?delay_ms=20&tokens=10"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    env = {"BURSAR_SLOTS": "8"}
    with Installation(workers=2, data=tmp_path_factory.mktemp("site"), env=env) as running:
        yield running


@pytest.fixture
def client(site: Installation) -> Iterator[Client]:
    with site.client() as made:
        yield made


def done(job: JobView) -> int:
    return job.succeeded + job.failed


def test_a_killed_worker_costs_no_item_and_doubles_none(site: Installation, client: Client) -> None:
    inputs = [f"item {n}" for n in range(300)]
    job = client.create_job("echo", inputs, model=SLOW, limit_microusd=5_000_000)
    wait_for(lambda: done(client.get_job(job)) >= 60, "a fifth of the items", timeout_s=60)
    os.kill(site.worker_pids[0], signal.SIGKILL)
    wait_for(lambda: client.get_job(job).ended, "end of the job", timeout_s=120)
    view = client.get_job(job)
    assert (view.state, view.succeeded, view.failed, view.open) == ("succeeded", 300, 0, 0)
    found = list(client.job_results(job))
    assert [result.index for result in found] == list(range(300))
    assert all(result.output.startswith(f"item {result.index} ") for result in found)
    assert len({result.session for result in found}) == 300
    assert sum(result.attempts for result in found) == 300, "none was opened twice"
    account = client.get_session_budget(job.id).account
    assert sum(result.cost_microusd for result in found) == account.posted_microusd
    assert account.posted_microusd <= 5_000_000
    assert account.pending_microusd == 0
    assert client.audit_budget().differences == []
    members = [s for s in client.list_sessions(limit=200).sessions if s.root == job.id]
    assert all(each.turn_count == 1 for each in members if each.id != job.id)


def _answers(site: Installation, client: Client) -> bool:
    site.tend()
    try:
        client.get_readiness()
    except GatewayUnreachable:
        return False
    return True


def test_a_gateway_that_dies_while_a_job_is_made_leaves_one_or_none(
    tmp_path: Path,
) -> None:
    env = {"BURSAR_FAILPOINTS": "C18=kill@3"}
    with Installation(workers=1, data=tmp_path, env=env) as site, site.client() as client:
        inputs = [f"item {n}" for n in range(700)]
        call = client.routes.create_job("echo", inputs, key="the-one")
        with Client(site.url, site.key, retries=0) as once, pytest.raises(GatewayUnreachable):
            once.send(call)
        # Started again it would die at a third piece once more: it asks with the first, writes one.
        wait_for(partial(_answers, site, client), "gateway that was started again", timeout_s=30)
        job = client.send(call)
        wait_for(lambda: client.get_job(job).ended, "end of the job", timeout_s=120)
        assert len(client.list_jobs().jobs) == 1
        found = list(client.job_results(job))
        assert [result.output for result in found] == inputs


# -- the command line


def bursar(site: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"BURSAR_URL": site.url, "BURSAR_API_KEY": site.key}
    command = [sys.executable, "-m", "bursar.cli", *arguments]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_map_writes_the_results_in_order(site: Installation, tmp_path: Path) -> None:
    inputs, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    inputs.write_text('"one"\n{"input": "two", "id": "b"}\n"three"\n')
    ran = bursar(site, "map", "echo", str(inputs), "--out", str(out), "--limit-usd", "1")
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["output"] for line in lines] == ["one", "two", "three"]
    assert lines[1]["id"] == "b"
    assert "3 succeeded" in ran.stderr


def test_map_says_what_failed_and_fails(site: Installation, tmp_path: Path) -> None:
    inputs, schema = tmp_path / "in.txt", tmp_path / "schema.json"
    inputs.write_text('{"n": 1}\nno JSON\n')
    schema.write_text('{"type": "object", "required": ["n"]}')
    ran = bursar(site, "map", "echo", str(inputs), "--text", "--schema", str(schema))
    assert ran.returncode == 1, ran.stderr
    first, second = (json.loads(line) for line in ran.stdout.splitlines())
    assert first["output"] == {"n": 1}
    assert (second["state"], second["code"]) == ("failed", "output_invalid")
    assert "item 1: output_invalid" in ran.stderr
    job = ran.stderr.split()[1]
    again = bursar(site, "jobs", "retry", job)
    assert again.returncode == 0, again.stderr
    followed = bursar(site, "map", "--job", job)
    assert followed.returncode == 1
    assert json.loads(followed.stdout.splitlines()[1])["attempts"] == 2
    for command in ("list", "show", "results", "delete"):
        ran = bursar(site, "jobs", command, *([] if command == "list" else [job]))
        assert ran.returncode == 0, ran.stderr
        assert job in ran.stdout or command == "results"
    assert bursar(site, "jobs", "show", job).returncode == 2


def test_a_job_goes_on_without_the_one_who_made_it(site: Installation, tmp_path: Path) -> None:
    inputs = tmp_path / "in.txt"
    inputs.write_text("".join(f"line {n}\n" for n in range(40)))
    made = bursar(site, "map", "echo", str(inputs), "--text", "--detach")
    job = made.stdout.strip()
    assert made.returncode == 0, made.stderr
    followed = bursar(site, "map", "--job", job)
    assert followed.returncode == 0, followed.stderr
    assert len(followed.stdout.splitlines()) == 40


def test_ctrl_c_cancels_and_keeps_what_there_is(
    site: Installation, client: Client, tmp_path: Path
) -> None:
    job = client.create_job("echo", [f"n {n}" for n in range(200)], model=SLOW)
    out = tmp_path / "out.jsonl"
    env = os.environ | {"BURSAR_URL": site.url, "BURSAR_API_KEY": site.key}
    command = [sys.executable, "-m", "bursar.cli", "map", "--job", job.id, "--out", str(out)]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    told = process.stderr.readline()  # from here on it follows
    wait_for(lambda: done(client.get_job(job)) >= 10, "ten items", timeout_s=60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, told + err
    assert "cancelled:" in err
    view = client.get_job(job)
    assert (view.state, view.reason) == ("cancelled", "cancelled at the terminal")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sum(line["state"] == "succeeded" for line in lines) == view.succeeded >= 10
    assert len(lines) == 200
