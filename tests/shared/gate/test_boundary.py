"""Where paths lie, and what the gate's first stage says about calls that reach out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bursar.errors import InvalidInput
from bursar.gate.boundary import Boundary, BoundaryMode, Place, never_trees
from bursar.gate.patterns import Action
from bursar.gate.pipeline import STAGES, Gate, GateRequest, Verdict, refusal, remedy_for
from bursar.gate.policy import Policy
from bursar.gate.requests import GRANTED


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("ws/sub", "ws-evil", "vault"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ws" / "link").symlink_to(tmp_path / "ws-evil")
    (tmp_path / "ws" / "within").symlink_to("sub")
    (tmp_path / "ws" / "dangling").symlink_to(tmp_path / "ws-evil" / "new")
    (tmp_path / "to_vault").symlink_to(tmp_path / "vault")
    return tmp_path / "ws"


@pytest.fixture
def boundary(root: Path) -> Boundary:
    never = never_trees([str(root.parent / "to_vault")])
    return Boundary(base=root.parent, folder="ws", never=never)


def request(boundary: Boundary, action: str = "tool://local/copy", **arguments: Any) -> GateRequest:
    return GateRequest(
        workspace="ws", session="s", agent="coder", tool="copy", action=action, effect="pure",
        arguments=arguments, boundary=boundary, policy=Policy(allow=["copy", "exec://**"]),
    )  # fmt: skip


async def decided(boundary: Boundary, action: str = "tool://local/copy", **arguments: Any) -> str:
    verdict = await Gate().decide(request(boundary, action, **arguments))
    assert verdict.decision == "allow" or verdict.stage == "boundary", verdict
    return verdict.decision


def test_a_place_is_told_by_its_text(root: Path, boundary: Boundary) -> None:
    for path in ("a/b", "./a//b", f"{root}/a/b", f"file://{root}/a/b", f"{root}//./a/b/"):
        assert boundary.locate(path, field="path") == Place("inside", "a/b")
    assert boundary.locate(str(root), field="path") == Place("inside", ".")
    for outside in ("/etc/hosts", f"{root}-evil/x", str(root.parent)):
        assert boundary.locate(outside, field="path") == Place("outside", outside)
    assert boundary.locate(f"{root.parent}/VAULT/x", field="path").where == "never"
    for wrong in ("../x", "a/../b", f"{root}/../x", "a\x00", f"file://{root}/%2e%2e/x"):
        with pytest.raises(InvalidInput):
            boundary.locate(wrong, field="path")


def test_a_symlinked_base_is_the_same_place(root: Path) -> None:
    (root.parent / "alias").symlink_to(root.parent)
    aliased = Boundary(
        base=root.parent / "alias", folder="ws", never=never_trees([str(root / "sub")])
    )
    for path in ("a", f"{root}/a", f"{root.parent}/alias/ws/a"):
        assert aliased.locate(path, field="path") == Place("inside", "a")
    for path in ("sub/x", f"{root.parent}/alias/ws/sub/x"):
        assert aliased.locate(path, field="path").where == "never"


def test_rules_see_one_path_for_one_file(root: Path, boundary: Boundary) -> None:
    blocked = Policy(blocked=["file://secrets/**"])
    for path in ("secrets/x", f"{root}/secrets/x", f"{root}//secrets/./x"):
        action = boundary.located(Action.parse(f"file+read://{path}"))
        assert str(action) == "file+read://secrets/x"
        assert blocked.decide(action, "pure").verdict == "deny"


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": "/etc/hosts"},
        {"path": "link/new"},
        {"path": "dangling"},
        {"path": "link/no/such/folder"},
        {"path": "file:///etc/hosts"},
        {"anything": "file:///etc/hosts"},
        {"anything": "FILE:/etc/hosts"},
        {"outputFile": "/etc/hosts"},
        {"file_name": "/etc/hosts"},
        {"files": ["a", "/etc/hosts"]},
        {"options": {"deep": [{"path": "/etc/hosts"}]}},
        {"files": {"one": {"two": "/etc/hosts"}}},
        {"files": {"/etc/hosts": "its new\ntext"}},
        {"anything": ["--x", "/etc/hosts"]},
        {"anything": "/etc"},
        {"anything": "../ws-evil/x"},
        {"anything": "sub/../../ws-evil/x"},
        {"anything": "~/x"},
    ],
    ids=str,
)
async def test_every_path_that_leads_out_is_asked_about(
    boundary: Boundary, arguments: dict[str, Any]
) -> None:
    assert await decided(boundary, **arguments) == "ask"
    assert await decided(replace(boundary, mode="guided"), **arguments) == "ask"
    assert await decided(replace(boundary, mode="ci"), **arguments) == "deny"
    assert await decided(replace(boundary, mode="autonomous"), **arguments) == "allow"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"path": "a/b", "n": 1, "ok": True, "none": None},
        {"path": "within/x"},
        {"path": "...", "file": "a..b"},
        {"path": "https://example.org/../x"},
        {"text": "/no-such-thing-here/at/all"},
        {"text": "a sentence with /etc/hosts in it"},
        {"files": {"a.txt": "/etc/hosts\nis where names are"}},
        {"text": "nul \x00 and \ud800"},
        {"profile": "x", "defile": "y", "pathology": "z"},
    ],
    ids=str,
)
async def test_what_stays_inside_or_is_no_path_passes(
    boundary: Boundary, arguments: dict[str, Any]
) -> None:
    assert await decided(boundary, **arguments) == "allow"


async def test_closed_trees_come_first_in_every_mode(root: Path, boundary: Boundary) -> None:
    for mode in ("safe", "autonomous"):
        closed = replace(boundary, mode=mode)
        for path in ("vault/key", "to_vault", "VAULT/x"):
            assert await decided(closed, path=f"{root.parent}/{path}") == "deny"
    inside = replace(boundary, never=never_trees([str(root / "sub")]))
    assert await decided(inside, path="within/x") == "deny"


@pytest.mark.parametrize("path", ["../x", "a\x00b", "a\nb", "u\u0308", "x" * 2000, "~/x", "~root"])
async def test_a_named_path_that_is_none_is_refused_by_its_place(
    boundary: Boundary, path: str
) -> None:
    asked = request(boundary, options={"paths": ["ok", path]})
    verdict = await Gate().decide(asked)
    assert (verdict.decision, verdict.stage) == ("deny", "boundary")
    assert verdict.reason.startswith("options.paths[1]: expected")


async def test_commands_are_looked_through_for_paths(root: Path, boundary: Boundary) -> None:
    for line in ("cat /etc/hosts", "cat link/x", "cp --to=/etc/x a", "cc -I/usr/include a.c"):
        assert await decided(boundary, f"exec://{line}") == "ask", line
    for line in ("cat a.txt", "/bin/cat a", "git log HEAD..main", "grep -r x .", f"ls {root}/sub"):
        assert await decided(boundary, f"exec://{line}") == "allow", line


async def test_a_tool_that_says_what_it_does_is_taken_at_its_word(boundary: Boundary) -> None:
    assert await decided(boundary, "file+read://a", content="/etc/hosts") == "allow"
    assert await decided(boundary, "file+read://a", content="a", copy_path="/etc/hosts") == "ask"
    assert await decided(boundary, "file+read:///etc/hosts") == "ask"
    net = Policy(allow=["net://a:1"])
    asked = replace(request(boundary, "net://a:1", path="/etc/hosts"), policy=net)
    assert (await Gate().decide(asked)).decision == "allow"


async def test_no_rule_of_a_policy_answers_for_a_person(boundary: Boundary) -> None:
    asked = request(boundary, path="/etc/hosts")
    verdict = await Gate().decide(asked)
    assert verdict.answered_by == GRANTED
    assert [place.path for place in verdict.outside] == ["/etc/hosts"]

    async def human(request: GateRequest, action: Action) -> Verdict | None:
        return Verdict("allow", "human", "approval", "approved by ann")

    assert (await Gate([*STAGES, human]).decide(asked)).stage == "human"
    blocked = replace(asked, policy=Policy(blocked=["copy"]))
    assert (await Gate().decide(blocked)).stage == "policy_block"


@pytest.mark.parametrize("mode", ["safe", "ci"])
async def test_the_refusal_names_the_argument_and_the_setting(
    boundary: Boundary, mode: BoundaryMode
) -> None:
    asked = request(replace(boundary, mode=mode), path="link/x")
    verdict = await Gate().decide(asked)
    text = refusal(asked, verdict)
    if mode == "safe":
        text = verdict.reason + remedy_for(asked, verdict)
    assert "path: " in text
    assert "ws-evil/x' is outside of the workspace folder" in text
    assert "BURSAR_BOUNDARY_MODE=autonomous" in text
    assert "Policy" not in text


async def test_without_a_folder_only_closed_trees_count(boundary: Boundary, root: Path) -> None:
    for free in (replace(boundary, folder=None, mode=mode) for mode in ("safe", "ci")):
        assert await decided(free, path="/etc/hosts") == "allow"
        assert await decided(free, path=f"{root.parent}/vault/x") == "deny"


async def test_the_paths_of_a_call_are_bounded(boundary: Boundary) -> None:
    assert await decided(boundary, paths=["a"] * 1000) == "allow"
    assert await decided(boundary, paths=["a"] * 1001) == "deny"
