"""Writing, editing and deleting files."""

from typing import Annotated

from msgspec import Meta

from bursar.context import ToolContext
from bursar.errors import InvalidInput
from bursar.tools import tool
from bursar_worker.builtin.workspace.reach import MAX_FILE_BYTES, acts_on, reach

__all__ = ["delete_file", "edit_file", "write_file"]


@tool(effect="idempotent", risk="medium", action=acts_on("write", "path"))
def write_file(
    ctx: ToolContext,
    path: Annotated[str, Meta(description="Relative to the workspace folder")],
    content: Annotated[str, Meta(description="The whole text of the file")],
) -> str:
    """Create a file, or replace one; folders are made as needed. At most 2 MiB."""
    place = reach(ctx, path, field="path")
    data = _encoded(content, field="content")
    is_new = place.files.write(place.path, data, max_bytes=MAX_FILE_BYTES)
    return f"{'created' if is_new else 'replaced'} {place.shown(place.path)} ({len(data)} bytes)"


# Repeated, an edit would find what it has written itself, and change it once more.
@tool(effect="at_most_once", risk="medium", action=acts_on("write", "path"))
def edit_file(
    ctx: ToolContext,
    path: Annotated[str, Meta(description="Relative to the workspace folder")],
    old: Annotated[str, Meta(description="The text to replace, exactly as it stands there")],
    new: Annotated[str, Meta(description="The text to put in its place")],
    all: Annotated[bool, Meta(description="Replace it wherever it stands")] = False,  # noqa: A002
) -> str:
    """Replace a piece of text in a file. It must stand there once, unless `all` is true."""
    if not old:
        raise InvalidInput("expected the text to replace; write_file makes files", field="old")
    if old == new:
        raise InvalidInput("expected another text than `old`", field="new")
    place = reach(ctx, path, field="path")
    before, after = _encoded(old, field="old"), _encoded(new, field="new")
    count = 0

    def change(data: bytes) -> bytes:
        nonlocal count
        count = data.count(before)
        if count == 0:
            hint = ", but it does with other line ends" if _differs_in_ends(data, before) else ""
            raise InvalidInput(
                f"this text does not stand in the file{hint}; read the file again", field="old"
            )
        if count > 1 and not all:
            raise InvalidInput(
                f"this text stands in the file {count} times; give more of what is around it, or "
                "set `all`",
                field="old",
            )
        return data.replace(before, after)

    place.files.update(place.path, change, max_bytes=MAX_FILE_BYTES)
    return f"replaced {count} in {place.shown(place.path)}"


@tool(effect="at_most_once", risk="high", action=acts_on("delete", "path"))
def delete_file(
    ctx: ToolContext,
    path: Annotated[str, Meta(description="Relative to the workspace folder")],
) -> str:
    """Delete a file. Folders stay."""
    place = reach(ctx, path, field="path")
    place.files.delete(place.path)
    return f"deleted {place.shown(place.path)}"


def _encoded(text: str, *, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("expected text that can be written as UTF-8", field=field) from None


def _differs_in_ends(data: bytes, text: bytes) -> bool:
    return text.replace(b"\r\n", b"\n") in data.replace(b"\r\n", b"\n")
