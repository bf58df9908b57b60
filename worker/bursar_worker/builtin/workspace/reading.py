"""Reading one file, and listing one folder."""

from typing import Annotated, Any

from msgspec import Meta

from bursar.context import ToolContext
from bursar.errors import InvalidInput
from bursar.tools import tool
from bursar_worker.builtin.texts import is_text
from bursar_worker.builtin.workspace.reach import MAX_FILE_BYTES, acts_on, reach

__all__ = ["list_files", "read_file"]

_MAX_PAGE_CHARS = 24_000
"""Below the worker's limit of a tool's output, so that its notice at the end is not cut off."""
_MAX_LISTED = 1000


@tool(effect="pure", action=acts_on("read", "path"))
def read_file(
    ctx: ToolContext,
    path: Annotated[str, Meta(description="Relative to the workspace folder")],
    offset: Annotated[int, Meta(description="First line to read, from 1", ge=1)] = 1,
    limit: Annotated[int, Meta(description="Lines to read at most", ge=1, le=10_000)] = 2000,
) -> str:
    """Read a text file of at most 2 MiB, some lines at a time.

    The text is as it stands in the file. If the file goes on after it, a last line in brackets says
    at which offset.
    """
    place = reach(ctx, path, field="path")
    data = place.files.read(place.path, max_bytes=MAX_FILE_BYTES)
    if not is_text(data):
        raise InvalidInput("this is no text file", field="path")
    lines = data.decode(errors="replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    if offset > max(len(lines), 1):
        raise InvalidInput(f"the file has {len(lines)} lines", field="offset")
    return _page(lines, offset, limit)


@tool(effect="pure", action=acts_on("read", "folder"))
def list_files(
    ctx: ToolContext,
    folder: Annotated[str, Meta(description="Relative to the workspace folder; empty: all")] = "",
) -> dict[str, Any]:
    """List one folder: its files with their sizes in bytes, and the folders in it.

    Symlinks are shown, but none of these tools follows one.
    """
    place = reach(ctx, folder, field="folder")
    entries = [e for e in place.files.entries(place.path, field="folder") if place.may_read(e)]
    shown = [
        {"path": place.shown(entry.path), "kind": entry.kind}
        | ({"bytes": entry.size} if entry.kind == "file" else {})
        for entry in entries[:_MAX_LISTED]
    ]
    left_out = len(entries) - len(shown)
    return {"entries": shown} | ({"left_out": left_out} if left_out else {})


def _page(lines: list[str], offset: int, limit: int) -> str:
    taken: list[str] = []
    room = _MAX_PAGE_CHARS
    for line in lines[offset - 1 : offset - 1 + limit]:
        if len(line) + 1 > room and taken:
            break
        taken.append(line[:_MAX_PAGE_CHARS])
        room -= len(line) + 1
    notices: list[str] = []
    if room < 0:
        notices.append(f"[the line goes on: {_MAX_PAGE_CHARS:,} characters of it are shown]")
    following = offset + len(taken)
    if following <= len(lines):
        notices.append(
            f"[lines {offset} to {following - 1} of {len(lines)}; go on at offset {following}]"
        )
    return "\n".join(taken + notices)
