from pathlib import Path
from typing import Any

import pytest

from bursar.errors import InvalidInput
from bursar.testing import tool_context
from bursar.tools import Tool
from bursar_worker.builtin.files import MAX_FILE_BYTES, list_files, read_file


async def call(tool: Tool[..., Any], files: Path | None, **arguments: Any) -> Any:
    return await tool.run(tool_context(files=files), arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.md").write_text("one\ntwo\n")
    (root / "sub" / "b.txt").write_text("ü" * 3000)
    (root / ".hidden").write_text("secret")
    (root / "c.bin").write_bytes(b"\x00\x01")
    (root / "big.txt").write_text("x" * (MAX_FILE_BYTES + 1))
    (tmp_path / "outside.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "up").symlink_to(tmp_path)
    return root


async def test_only_readable_text_files_are_listed(folder: Path) -> None:
    assert await call(list_files, folder) == {
        "files": [{"path": "a.md", "bytes": 8}, {"path": "sub/b.txt", "bytes": 6000}]
    }
    listed = await call(list_files, folder, folder="sub")
    assert [entry["path"] for entry in listed["files"]] == ["sub/b.txt"]


async def test_a_file_is_read_from_a_line_on(folder: Path) -> None:
    page = await call(read_file, folder, path="a.md", start_line=2)
    assert page == {"path": "a.md", "lines": 2, "text": "two"}


async def test_long_files_are_read_page_by_page(folder: Path) -> None:
    lines = [f"line {number} " + "x" * 90 for number in range(1, 400)]
    (folder / "long.txt").write_text("\n".join(lines))
    read: list[str] = []
    following: int | None = 1
    while following:
        page = await call(read_file, folder, path="long.txt", start_line=following)
        assert len(page["text"]) <= 12_000
        read += page["text"].splitlines()
        following = page.get("next_line")
    assert read == lines


async def test_one_endless_line_is_cut(folder: Path) -> None:
    (folder / "endless.txt").write_text("y" * 50_000)
    page = await call(read_file, folder, path="endless.txt")
    assert len(page["text"]) == 12_000
    assert "next_line" not in page


@pytest.mark.parametrize(
    "path",
    [
        "../outside.txt",
        "sub/../../outside.txt",
        "/etc/hosts",
        "link.txt",
        "up/outside.txt",
        ".hidden",
        "c.bin",
        "big.txt",
        "sub",
        "missing.txt",
        "a\x00b",
        "x" * 2000,
    ],
)
async def test_what_must_not_be_read_is_refused(folder: Path, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await call(read_file, folder, path=path)
    assert caught.value.field == "path"
    assert "secret" not in str(caught.value)


async def test_a_line_after_the_end_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        await call(read_file, folder, path="a.md", start_line=3)
    assert caught.value.field == "start_line"


async def test_folders_outside_are_not_listed(folder: Path) -> None:
    for wrong in ("..", "up", "/", "a.md"):
        with pytest.raises(InvalidInput):
            await call(list_files, folder, folder=wrong)


@pytest.mark.parametrize("files", [None, Path("/no/such/folder")])
async def test_without_a_workspace_folder_the_tools_say_so(files: Path | None) -> None:
    for tool, arguments in ((list_files, {}), (read_file, {"path": "a.md"})):
        with pytest.raises(InvalidInput) as caught:
            await call(tool, files, **arguments)
        assert caught.value.field == "workspace_path"
