"""The workspace toolset: what each tool does, and what it refuses with which words."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bursar.context import ToolContext
from bursar.errors import InvalidInput
from bursar.gate.boundary import MODES, Boundary, BoundaryMode, never_trees
from bursar.gate.policy import Policy
from bursar.testing import tool_context
from bursar.tools import Tool
from bursar_worker.builtin.workspace import (
    ALL,
    READING,
    delete_file,
    edit_file,
    glob,
    grep,
    list_files,
    read_file,
    write_file,
)
from bursar_worker.builtin.workspace.reach import MAX_FILE_BYTES


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "ws"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "node_modules").mkdir()
    (root / ".git").mkdir()
    (root / "a.txt").write_text("one\ntwo\nthree\n")
    (root / "src" / "b.py").write_text("def two():\n    return 2\n")
    (root / "src" / "deep" / "c.py").write_text("TWO = 2")
    (root / "node_modules" / "d.py").write_text("two")
    (root / ".git" / "config").write_text("two")
    (root / "data.bin").write_bytes(b"two\x00")
    (tmp_path / "outside.txt").write_text("secret two")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    return root


def context(
    root: Path, mode: BoundaryMode = "safe", *, timeout_s: float = 60.0, **options: Any
) -> ToolContext:
    boundary = Boundary(base=root.parent, folder=root.name, mode=mode, **options)
    made = tool_context(files=root, timeout_s=timeout_s)
    return ToolContext(
        **{name: getattr(made, name) for name in made.__slots__} | {"boundary": boundary}
    )


async def refused(field: str, tool: Tool[..., Any], ctx: ToolContext, **arguments: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        await tool.run(ctx, arguments)
    assert caught.value.field == field
    return caught.value.message


def test_a_file_is_read_by_lines(root: Path) -> None:
    ctx = context(root)
    assert read_file(ctx, "a.txt") == "one\ntwo\nthree"
    assert read_file(ctx, "a.txt", 2, 1) == "two\n[lines 2 to 2 of 3; go on at offset 3]"
    assert read_file(ctx, f"{root}/a.txt", 3) == "three"
    assert read_file(ctx, f"file://{root}/a.txt", 3) == "three"


def test_a_page_has_a_size_and_goes_on(root: Path) -> None:
    (root / "long").write_text("\n".join(f"{n} " + "x" * 90 for n in range(1, 1001)))
    ctx, offset, read = context(root), 1, list[str]()
    while True:
        page = read_file(ctx, "long", offset).split("\n")
        assert len("\n".join(page)) < 30_000
        read += [line for line in page if not line.startswith("[")]
        if not page[-1].startswith("["):
            break
        offset = int(page[-1].rpartition(" ")[2].rstrip("]"))
    assert [line.split()[0] for line in read] == [str(n) for n in range(1, 1001)]
    (root / "endless").write_text("y" * 50_000)
    assert "24,000 characters of it are shown" in read_file(ctx, "endless")


async def test_what_cannot_be_read_is_refused(root: Path) -> None:
    ctx = context(root)
    (root / "big").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    assert "no text file" in await refused("path", read_file, ctx, path="data.bin")
    assert "symlink" in await refused("path", read_file, ctx, path="link.txt")
    assert "at most" in await refused("path", read_file, ctx, path="big")
    assert "has 3 lines" in await refused("offset", read_file, ctx, path="a.txt", offset=9)
    assert "inside" in await refused("path", read_file, ctx, path="/etc/hosts")
    await refused("workspace_path", read_file, tool_context(), path="a.txt")


def test_a_folder_is_listed(root: Path) -> None:
    listed = list_files(context(root), "src")
    assert listed == {
        "entries": [
            {"path": "src/b.py", "kind": "file", "bytes": 24},
            {"path": "src/deep", "kind": "folder"},
        ]
    }


def test_files_are_found_by_name_and_by_content(root: Path) -> None:
    ctx = context(root)
    assert glob(ctx, "**/*.py") == "src/b.py\nsrc/deep/c.py"
    assert glob(ctx, "*.py", "src") == "src/b.py"
    assert glob(ctx, "*.md") == "[no files found]"
    assert grep(ctx, r"\btwo\b") == "a.txt:2: two\nsrc/b.py:1: def two():"
    assert grep(ctx, "TWO", ignore_case=True, include="**/c.py") == "src/deep/c.py:1: TWO = 2"
    assert grep(ctx, "two", "node_modules") == "node_modules/d.py:1: two"


def test_what_is_found_is_bounded_and_says_so(root: Path) -> None:
    (root / "many").write_text("two\n" * 1000)
    found = grep(context(root), "two", include="many").split("\n")
    assert len(found) == 301
    assert "first 300" in found[-1]
    late = grep(context(root, timeout_s=1.0), "two")
    assert (
        late
        == "[no lines found]\n[there may be more: the time of this call was over; ask for less]"
    )


def test_a_search_keeps_out_of_what_the_policy_does_not_allow(root: Path) -> None:
    for policy in (Policy(blocked=["file://src/**"]), Policy(ask=["file+read://src/**"])):
        ctx = context(root, policy=policy)
        assert grep(ctx, "two") == "a.txt:2: two"
        assert glob(ctx, "**/*.py") == "[no files found]"
        assert list_files(ctx, "src") == {"entries": []}
    assert "src/b.py" in grep(context(root, policy=Policy(blocked=["file+write://src/**"])), "two")


def test_a_search_keeps_out_of_closed_trees(root: Path) -> None:
    ctx = context(root, "autonomous", never=never_trees([str(root / "src")]))
    assert grep(ctx, "two", include="**/*.py") == "[no lines found]"


async def test_files_are_written_edited_and_deleted(root: Path) -> None:
    ctx = context(root)
    assert write_file(ctx, "new/n.txt", "a a\r\n") == "created new/n.txt (5 bytes)"
    assert write_file(ctx, "new/n.txt", "a b a\r\n") == "replaced new/n.txt (7 bytes)"
    assert "stands in the file 2 times" in await refused(
        "old", edit_file, ctx, path="new/n.txt", old="a", new="c"
    )
    assert edit_file(ctx, "new/n.txt", "a", "c", all=True) == "replaced 2 in new/n.txt"
    assert edit_file(ctx, "new/n.txt", "b", "") == "replaced 1 in new/n.txt"
    assert (root / "new/n.txt").read_bytes() == b"c  c\r\n"
    assert "other line ends" in await refused(
        "old", edit_file, ctx, path="new/n.txt", old="c\n", new="d"
    )
    assert "read the file again" in await refused(
        "old", edit_file, ctx, path="new/n.txt", old="x", new="d"
    )
    await refused("old", edit_file, ctx, path="new/n.txt", old="", new="d")
    await refused("new", edit_file, ctx, path="new/n.txt", old="c", new="c")
    assert delete_file(ctx, "new/n.txt") == "deleted new/n.txt"
    assert "no file" in await refused("path", delete_file, ctx, path="new/n.txt")


async def test_edits_of_one_step_run_at_once_and_all_arrive(root: Path) -> None:
    (root / "e").write_text("".join(f"<{n}>" for n in range(20)))
    edits = [
        edit_file.run(context(root), {"path": "e", "old": f"<{n}>", "new": f"[{n}]"})
        for n in range(20)
    ]
    await asyncio.gather(*edits)
    assert (root / "e").read_text() == "".join(f"[{n}]" for n in range(20))


async def test_only_mode_autonomous_reaches_out_and_closed_trees_stay_closed(root: Path) -> None:
    outside = root.parent / "outside.txt"
    never = never_trees([str(root.parent / "vault")])
    (root.parent / "vault").mkdir()
    free = context(root, "autonomous", never=never)
    assert read_file(free, str(outside)) == "secret two"
    await refused("path", write_file, free, path=f"{root.parent}/vault/x", content="x")
    await refused("path", read_file, free, path="link.txt")
    for mode in MODES:
        if mode != "autonomous":
            await refused("path", read_file, context(root, mode), path=str(outside))


def test_actions_name_the_operation_and_the_path() -> None:
    said = {tool.name: tool.action({"path": "./a//b", "folder": ""}) for tool in ALL[:-1]}
    assert said == {
        "read_file": "file+read://a/b",
        "list_files": "file+read://.",
        "glob": "file+read://.",
        "grep": "file+read://.",
        "write_file": "file+write://a/b",
        "edit_file": "file+write://a/b",
        "delete_file": "file+delete://a/b",
    }
    assert {tool.effect for tool in READING} == {"pure"}
    assert {(tool.name, tool.effect, tool.risk) for tool in ALL if tool not in READING} == {
        ("write_file", "idempotent", "medium"),
        ("edit_file", "at_most_once", "medium"),
        ("delete_file", "at_most_once", "high"),
        ("shell", "at_most_once", "high"),
    }


@pytest.mark.parametrize("path", ["a\x00b", "u\u0308", "../x", "a\nb", "file://host/x"])
def test_no_action_is_told_for_a_path_that_is_none(path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        write_file.action({"path": path})
    assert caught.value.field == "path"
