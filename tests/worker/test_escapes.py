"""Calls that reach out of their session's folder: people open single places, and only those."""

import json
from pathlib import Path
from typing import Any

import pytest

from bursar.agents import Agent
from bursar.gate import granting
from bursar.gate.policy import Policy
from bursar.messages import ToolCall
from bursar.testing import ScriptedModel
from bursar_worker.builtin.workspace import ALL
from support.workers import WORKSPACE, Site, working


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "files"
    (root / "ws").mkdir(parents=True)
    (root / "shared").mkdir()
    return root


def write(path: Path | str, content: str = "x") -> ToolCall:
    return ToolCall("c", "write_file", json.dumps({"path": str(path), "content": content}))


def coder(*script: Any, policy: Policy | None = None) -> Agent:
    rules = policy or Policy(allow=["file+write://**"])
    return Agent(name="coder", model=ScriptedModel(list(script)), tools=ALL, policy=rules)


async def test_a_place_that_a_person_opened_is_written_and_nothing_beside(
    place: Site, root: Path
) -> None:
    outside = root / "shared" / "report.txt"
    agent = coder(write(outside, "one"), "done")
    async with working(place.store, agent, files_root=root):
        tid = await place.put(await place.session("coder", workspace_path="ws"))
        (question,) = await place.asked()
        assert [place.path for place in question.outside] == [str(outside)]
        assert question.outside[0].operation == "write"
        assert "is outside of the workspace folder" in question.reason
        await place.answer(question)
        assert (await place.ended(tid)).state == "succeeded"
    assert outside.read_text() == "one"


@pytest.mark.parametrize("scope", ["session", "workspace", "always"])
async def test_an_opened_place_stays_open_for_its_scope_until_it_is_revoked(
    place: Site, root: Path, scope: str
) -> None:
    outside = root / "shared" / "report.txt"
    agent = coder(*[part for text in "abcd" for part in (write(outside, text), "done")])
    async with working(place.store, agent, files_root=root):
        session = await place.session("coder", workspace_path="ws")
        first = await place.put(session)
        (question,) = await place.asked()
        answered = await place.answer(question, scope=scope)
        await place.ended(first)
        await place.ended(await place.put(session))
        assert outside.read_text() == "b"
        other = await place.session("coder", workspace_path="ws")
        tid = await place.put(other)
        if scope == "session":
            (again,) = await place.asked()
            await place.answer(again, "deny")
            await place.ended(tid)
            assert outside.read_text() == "b"
            return
        await place.ended(tid)
        assert outside.read_text() == "c"
        await place.revoke(answered.grant)
        tid = await place.put(other)
        (again,) = await place.asked()
        await place.answer(again, "deny")
        await place.ended(tid)
    assert outside.read_text() == "c"


async def test_another_place_is_asked_about_anew(place: Site, root: Path) -> None:
    shared = root / "shared"
    agent = coder(write(shared / "one"), "1", write(shared / "two"), "2")
    async with working(place.store, agent, files_root=root):
        session = await place.session("coder", workspace_path="ws")
        tid = await place.put(session)
        (question,) = await place.asked()
        await place.answer(question, scope="workspace")
        await place.ended(tid)
        tid = await place.put(session)
        (other,) = await place.asked()
        assert other.outside[0].path == str(shared / "two")
        await place.answer(other, "deny")
        await place.ended(tid)
    assert not (shared / "two").exists()


async def test_a_directory_is_opened_with_its_contents_only_if_that_is_what_was_said(
    place: Site, root: Path
) -> None:
    shared = root / "shared"
    agent = coder(write(shared / "one"), "1", write(shared / "two"), "2")
    async with working(place.store, agent, files_root=root):
        session = await place.session("coder", workspace_path="ws")
        tid = await place.put(session)
        (question,) = await place.asked()
        (asked,) = question.outside
        whole = {"path": str(shared), "operation": "write", "volume": asked.volume}
        await place.answer(
            question,
            allowance={
                "pattern": f"file+write://{shared}/**",
                "paths": [whole | {"directory": True}],
            },
        )
        await place.ended(tid)
        await place.ended(await place.put(session))
        allowed = await granting.list_allowances(place.store, place.store.workspace(WORKSPACE))
    assert (shared / "two").exists()
    assert [each.paths[0].directory for each in allowed] == [True]


async def test_closed_trees_stay_closed_whatever_people_say(place: Site, root: Path) -> None:
    secret = root / "shared" / "key"
    agent = coder(write(secret), "done")
    async with working(place.store, agent, files_root=root, boundary_never=[str(root / "shared")]):
        turn = await place.ended(await place.put(await place.session("coder", workspace_path="ws")))
    assert turn.state == "succeeded"
    assert not secret.exists()
