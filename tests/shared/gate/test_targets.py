"""A rule about a tree holds also for the way to it through a symlink."""

from dataclasses import replace
from pathlib import Path

import pytest

from bursar.gate.boundary import Boundary
from bursar.gate.patterns import Action
from bursar.gate.pipeline import Gate, GateRequest
from bursar.gate.policy import Policy
from bursar.gate.targets import targets_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("ws/secrets", "ws/docs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ws" / "docs" / "link").symlink_to("../secrets")
    (tmp_path / "ws" / "docs" / "key").symlink_to("../secrets/key")
    (tmp_path / "ws" / "plain").write_text("x")
    return tmp_path / "ws"


@pytest.fixture
def request_of(root: Path) -> GateRequest:
    return GateRequest(
        workspace="w", session="s", agent="a", tool="t", action="", effect="pure",
        boundary=Boundary(base=root.parent, folder="ws"),
    )  # fmt: skip


async def decided(request: GateRequest, path: str, **lists: list[str]) -> str:
    asked = replace(request, action=f"file+read://{path}", policy=Policy.from_dict(lists))
    return (await Gate().decide(asked)).decision


@pytest.mark.parametrize(
    "path", ["secrets/key", "./secrets//key", "docs/link/key", "docs/link/new", "docs/key"]
)
async def test_symlinks_and_detours_do_not_get_around_a_blocked_tree(
    request_of: GateRequest, path: str
) -> None:
    assert await decided(request_of, path, blocked=["file://secrets/**"]) == "deny"


async def test_what_is_allowed_by_its_name_is_judged_by_its_target_too(
    request_of: GateRequest,
) -> None:
    effectful = replace(request_of, effect="idempotent")
    allow = ["file+read://docs/**"]
    assert await decided(effectful, "docs/a", allow=allow) == "allow"
    assert await decided(effectful, "docs/key", allow=allow) == "ask"
    both = [*allow, "file+read://secrets/**"]
    assert await decided(effectful, "docs/key", allow=both) == "allow"


async def test_a_block_of_the_name_holds_whatever_it_leads_to(request_of: GateRequest) -> None:
    assert await decided(request_of, "docs/key", blocked=["file://docs/*"]) == "deny"


def test_a_file_that_is_no_symlink_has_one_name(root: Path) -> None:
    folders = Boundary(base=root.parent, folder="ws"), Boundary(base=root, folder=None)
    for boundary in folders:
        for path in ("plain", "no/such", "docs"):
            action = Action("file", path, "read")
            assert targets_of(action, boundary) == [action]
    found = targets_of(Action("file", "docs/key", "read"), folders[1])
    assert [target.path for target in found] == ["docs/key", f"{root}/secrets/key"]
