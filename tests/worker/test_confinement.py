"""Whole turns with the workspace tools: what the gate lets through, and what settings change."""

import json
from pathlib import Path
from typing import Any

import pytest

from bursar import history
from bursar.agents import Agent
from bursar.gate.policy import Policy
from bursar.messages import ToolCall, ToolMessage
from bursar.testing import ScriptedModel
from bursar_worker.builtin.workspace import ALL
from support.workers import WORKSPACE, Site, working


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    (root / "ws" / "secrets").mkdir(parents=True)
    (root / "ws" / "secrets" / "key").write_text("key")
    (root / "ws" / "a.txt").write_text("one")
    (root / "outside.txt").write_text("out")
    (root / "ws" / "link").symlink_to(root)
    return root


POLICY = Policy(
    blocked=["file://secrets/**", "exec://sudo **"], allow=["file+write://*.txt", "exec://**"]
)


async def results(
    place: Site, root: Path, *calls: tuple[str, dict[str, Any]], **settings: Any
) -> list[str]:
    """Run one step of calls in a session whose folder is ``ws``."""
    asked = [
        ToolCall(f"c{number}", name, json.dumps(arguments))
        for number, (name, arguments) in enumerate(calls)
    ]
    agent = Agent(name="coder", model=ScriptedModel([asked, "end"]), tools=ALL, policy=POLICY)
    unasked = {"approval_timeout_s": 0.1, "unanswered_interactive": "skip"}
    async with working(place.store, agent, files_root=root, **unasked, **settings):
        session, turn = await place.run("coder", workspace_path="ws")
    assert turn.state == "succeeded"
    messages = await history.read_messages(place.store, WORKSPACE, session.id, last=100)
    return [message.output for message in messages if isinstance(message, ToolMessage)]


async def test_files_inside_are_read_and_written_as_the_policy_says(
    place: Site, root: Path
) -> None:
    read, written, refused, deleted = await results(
        place,
        root,
        ("read_file", {"path": f"{root}/ws/a.txt"}),
        ("write_file", {"path": f"file://{root}/ws/b.txt", "content": "/etc/hosts"}),
        ("write_file", {"path": "sub/b.txt", "content": "no"}),
        ("delete_file", {"path": "a.txt"}),
    )
    assert read == "one"
    assert written == "created b.txt (10 bytes)"
    assert "allowances add file+write://sub/b.txt" in refused
    assert "allowances add file+delete://a.txt" in deleted
    assert (root / "ws" / "b.txt").read_text() == "/etc/hosts"
    assert (root / "ws" / "a.txt").exists()


async def test_a_block_holds_for_every_spelling_of_a_path(place: Site, root: Path) -> None:
    outputs = await results(
        place,
        root,
        ("read_file", {"path": "secrets/key"}),
        ("read_file", {"path": f"{root}/ws//./secrets/key"}),
        ("read_file", {"path": f"file://{root}/ws/secrets/key"}),
        ("grep", {"pattern": "key"}),
    )
    assert all("blocked file://secrets/**" in output for output in outputs[:3])
    assert outputs[3] == "[no lines found]"


async def test_what_is_outside_is_for_the_mode_to_say(place: Site, root: Path) -> None:
    calls = [
        ("read_file", {"path": f"{root}/outside.txt"}),
        ("read_file", {"path": "link/outside.txt"}),
        ("read_file", {"path": "../outside.txt"}),
    ]
    for mode, words in (("safe", "needs approval"), ("ci", "asks nobody")):
        direct, linked, dots = await results(place, root, *calls, boundary_mode=mode)
        assert words in direct
        assert "BURSAR_BOUNDARY_MODE=autonomous" in direct
        assert words in linked
        assert dots.startswith("Invalid arguments. path: expected a path without '..'")
    direct, linked, dots = await results(place, root, *calls, boundary_mode="autonomous")
    assert direct == "out"
    assert "is a symlink" in linked
    assert "without '..'" in dots
    closed = await results(
        place, root, calls[0], boundary_mode="autonomous", boundary_never=[str(root)]
    )
    assert "BURSAR_BOUNDARY_NEVER" in closed[0]


async def test_commands_run_where_a_setting_says_so(place: Site, root: Path) -> None:
    calls = [
        ("shell", {"command": "cat a.txt"}),
        ("shell", {"command": 's"u"do cat a.txt'}),
        ("shell", {"command": f"cat {root}/outside.txt"}),
        ("shell", {"command": "cat a.txt | cat"}),
    ]
    off = await results(place, root, *calls[:1])
    assert "BURSAR_SHELL=true" in off[0]
    plain, sudo, outside, piped = await results(place, root, *calls, shell=True)  # noqa: S604
    assert json.loads(plain) == {"exit_code": 0, "output": "one"}
    assert "blocked exec://sudo **" in sudo
    assert "outside of the workspace folder" in outside
    assert "needs approval" in piped
