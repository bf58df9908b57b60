"""Sub-agents as people see them, with workers that really run them."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursar.cli.supervisor import Installation
from bursar.client import Client
from support.answering import bursar, calls, send
from support.terminal import Terminal

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site() -> Iterator[Installation]:
    env = {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    with Installation(workers=2, agents="support.puppet", env=env) as running:
        yield running


@pytest.fixture
def client(site: Installation) -> Iterator[Client]:
    with site.client() as made:
        yield made


@pytest.fixture
def env(site: Installation) -> dict[str, str]:
    return {"BURSAR_URL": site.url, "BURSAR_API_KEY": site.key}


def tasks(*prompts: str) -> str:
    """An input that gives a task for each prompt."""
    return calls(
        *(
            ("task", {"prompt": prompt, "description": f"part {number}"})
            for number, prompt in enumerate(prompts)
        )
    )


def test_a_run_shows_its_sub_agents_and_the_tree_can_be_looked_at(
    client: Client, env: dict[str, str]
) -> None:
    ran = bursar(["run", "boss", tasks("[]", "[]", "[]")], env)
    lines = ran.out.splitlines()
    ended = [line for line in lines if line.startswith("⋔ ")]
    assert sorted(line.split(",")[0] for line in ended) == [
        f"⋔ part {number} (puppet) is done" for number in range(3)
    ]
    assert "that is all" in lines
    (root,) = [each for each in client.list_sessions().sessions if each.agent == "boss"]
    shown = bursar(["tree", root.id, "--once"], env).out
    assert shown.count("succeeded") == 3
    found = json.loads(bursar(["tree", root.id, "--json"], env).out)
    assert found["totals"]["sessions"] == 4
    assert sum(node["purse"]["posted_microusd"] > 0 for node in found["nodes"]) == 4
    top = bursar(["top", "--once"], env).out
    assert "2 workers" in top


def test_a_streamed_turn_is_what_all_its_sessions_log(client: Client) -> None:
    session = client.create_session("boss")
    stream = client.stream(session, tasks(*["[]"] * 5), tree=True)
    events = list(stream)
    assert stream.text == "that is all"
    assert events[-1].session == session.id
    below = Counter(event.session for event in events if event.session != session.id)
    assert len(below) == 5
    for sid, count in below.items():
        own = [each for each in client.session_events(sid) if not each.kind.endswith(".delta")]
        assert count == len(own)
        assert [e.seq for e in events if e.session == sid] == [each.seq for each in own]
    again = client.turn_events(stream.turn, tree=True)
    assert Counter((e.session, e.seq) for e in again) == Counter((e.session, e.seq) for e in events)


def test_a_question_below_is_asked_where_the_turn_was_started(env: dict[str, str]) -> None:
    with Terminal("run", "boss", tasks(send(), "[]"), env=env) as terminal:
        terminal.expect("⋔ part 1 (puppet) is done")
        terminal.expect("puppet wants send")
        terminal.expect("[l]ater [?] > ")
        terminal.line("o")
        terminal.expect("⋔ part 0 (puppet) is done")
        terminal.expect("that is all")
    assert "⋔ sub-agents: " in terminal.screen


def test_a_tree_is_watched_on_a_terminal(client: Client, env: dict[str, str]) -> None:
    session = client.create_session("boss")
    client.start_turn(session, tasks(send(), "[]"))
    with Terminal("tree", session.id, env=env) as terminal:
        terminal.expect("1 of 2 sub-agents ended")
        terminal.expect("waiting: approval")
        (question,) = [q for q in client.list_approvals() if q.root == session.id]
        client.answer_approval(question, "deny")
        terminal.expect("2 of 2 sub-agents ended")
        assert terminal.ended() == 0
