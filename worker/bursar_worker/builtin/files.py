"""Looking at the files of a session's workspace folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from bursar.context import ToolContext
from bursar.errors import InvalidInput
from bursar.tools import tool
from bursar_worker.builtin.folder import REPORT_FOLDER, inside, root_of

__all__ = ["list_files", "read_file"]

MAX_FILE_BYTES = 2 * 1024 * 1024
MAX_PAGE_CHARS = 12_000
"""Small enough that a page, as JSON, is not cut by the worker's limit of a tool's output."""
_MAX_LISTED = 500
_MAX_VISITED = 20_000
_PROBE_BYTES = 4096


@tool(effect="pure")
def list_files(
    ctx: ToolContext,
    folder: Annotated[str, Meta(description="Folder below the workspace; empty for all")] = "",
) -> dict[str, Any]:
    """List the text files of the workspace folder with their sizes in bytes.

    Hidden files, symlinks, binary files, files above 2 MiB and written reports are left out.
    """
    root = root_of(ctx)
    start = inside(root, folder, field="folder")
    if not start.is_dir():
        raise InvalidInput("there is no such folder", field="folder")
    files: list[dict[str, Any]] = []
    for path, size in _text_files(start):
        if len(files) == _MAX_LISTED:
            return {"files": files, "more": True}
        files.append({"path": path.relative_to(root).as_posix(), "bytes": size})
    return {"files": files}


@tool(effect="pure")
def read_file(
    ctx: ToolContext,
    path: Annotated[str, Meta(description="As list_files names it")],
    start_line: Annotated[int, Meta(description="First line to read, from 1", ge=1)] = 1,
) -> dict[str, Any]:
    """Read a text file from a line on, up to 12,000 characters.

    If the file goes on after that, ``next_line`` is where to continue.
    """
    root = root_of(ctx)
    target = inside(root, path)
    if any(part.startswith(".") for part in target.relative_to(root).parts):
        raise InvalidInput("hidden files are not read", field="path")
    if not target.is_file():
        raise InvalidInput("there is no such file", field="path")
    if target.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"files above {MAX_FILE_BYTES} bytes are not read", field="path")
    data = target.read_bytes()
    if not _is_text(data[:_PROBE_BYTES]):
        raise InvalidInput("this is no text file", field="path")
    lines = data.decode(errors="replace").splitlines()
    if start_line > max(len(lines), 1):
        raise InvalidInput(f"the file has {len(lines)} lines", field="start_line")
    return _page(path, lines, start_line)


def _page(path: str, lines: list[str], start_line: int) -> dict[str, Any]:
    taken: list[str] = []
    room = MAX_PAGE_CHARS
    for line in lines[start_line - 1 :]:
        if len(line) + 1 > room and taken:
            break
        taken.append(line[:MAX_PAGE_CHARS])  # one endless line is cut, not refused
        room -= len(line) + 1
    page = {"path": path, "lines": len(lines), "text": "\n".join(taken)}
    following = start_line + len(taken)
    return page | {"next_line": following} if following <= len(lines) else page


def _text_files(start: Path) -> Iterator[tuple[Path, int]]:
    """Yield the files below a folder in the order of their paths."""
    visited = 0
    for folder, names, files in os.walk(start):
        # Reports of earlier turns are no material for the next one, unless they are asked for.
        names[:] = sorted(n for n in names if not n.startswith(".") and n != REPORT_FOLDER)
        for name in sorted(files):
            visited += 1
            if visited > _MAX_VISITED:
                return
            path = Path(folder, name)
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            size = path.stat().st_size
            if size <= MAX_FILE_BYTES and _starts_as_text(path):
                yield path, size


def _starts_as_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _is_text(file.read(_PROBE_BYTES))
    except PermissionError:
        return False


def _is_text(data: bytes) -> bool:
    """Whether this is UTF-8, as far as it goes: the end may cut a character."""
    if b"\x00" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True
