"""How the agent ``reader`` looks at the files of its workspace folder."""

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from bursar.context import ToolContext
from bursar.errors import InvalidInput, LimitReached
from bursar.files import Entry, WorkspaceFiles, split_path
from bursar.tools import tool
from bursar_worker.builtin.folder import workspace_files
from bursar_worker.builtin.reports import REPORT_FOLDER
from bursar_worker.builtin.texts import is_text

__all__ = ["list_files", "read_file"]

MAX_FILE_BYTES = 2 * 1024 * 1024
MAX_PAGE_CHARS = 12_000
"""Small enough that a page, as JSON, is not cut by the worker's limit of a tool's output."""
_MAX_LISTED = 500
_PROBE_BYTES = 4096


@tool(effect="pure")
def list_files(
    ctx: ToolContext,
    folder: Annotated[str, Meta(description="Folder below the workspace; empty for all")] = "",
) -> dict[str, Any]:
    """List the text files of the workspace folder with their sizes in bytes.

    Hidden files, symlinks, binary files, files above 2 MiB and written reports are left out.
    """
    files: list[dict[str, Any]] = []
    try:
        for entry in _text_files(workspace_files(ctx), folder):
            if len(files) == _MAX_LISTED:
                return {"files": files, "more": True}
            files.append({"path": entry.path, "bytes": entry.size})
    except LimitReached:
        return {"files": files, "more": True}
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
    files = workspace_files(ctx)
    if any(part.startswith(".") for part in split_path(path, field="path")):
        raise InvalidInput("hidden files are not read", field="path")
    data = files.read(path, max_bytes=MAX_FILE_BYTES)
    if not is_text(data[:_PROBE_BYTES]):
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


def _text_files(files: WorkspaceFiles, folder: str) -> Iterator[Entry]:
    """Yield the files below a folder, each folder's own by name before those further down."""
    for entry in files.walk(folder, enter=_is_material, field="folder"):
        if not _name(entry).startswith(".") and entry.size <= MAX_FILE_BYTES:
            try:
                start = files.read(entry.path, max_bytes=_PROBE_BYTES, whole=False)
            except InvalidInput:
                continue  # not accessible, or gone since it was listed
            if is_text(start):
                yield entry


def _is_material(folder: Entry) -> bool:
    """Reports of earlier turns are no material for the next one, unless they are asked for."""
    name = _name(folder)
    return not name.startswith(".") and name != REPORT_FOLDER


def _name(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]
