"""Writing reports into a session's workspace folder."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bursar.context import ToolContext
from bursar.errors import InvalidInput
from bursar.tools import tool
from bursar_worker.builtin.folder import REPORT_FOLDER, inside, root_of

__all__ = ["write_report"]

_MAX_BYTES = 1024 * 1024


@tool(effect="idempotent", risk="low")
def write_report(
    ctx: ToolContext,
    path: Annotated[str, Meta(description="File name below bursar-report/, ending in .md")],
    markdown: Annotated[str, Meta(description="The whole report")],
) -> str:
    """Write a report in Markdown below the folder bursar-report/ of the workspace.

    A report of the same name is replaced. Nothing else can be written.
    """
    root = root_of(ctx)
    if not path.endswith(".md") or path.startswith("/"):
        raise InvalidInput("expected a relative name that ends in .md", field="path")
    data = markdown.encode(errors="replace")
    if len(data) > _MAX_BYTES:
        raise InvalidInput(f"expected at most {_MAX_BYTES} bytes", field="markdown")
    target = inside(root, f"{REPORT_FOLDER}/{path}")
    if not target.is_relative_to(root / REPORT_FOLDER):
        raise InvalidInput("expected a path below bursar-report/", field="path")
    target.parent.mkdir(parents=True, exist_ok=True)
    _replace(target, data)
    return f"{target.relative_to(root).as_posix()} ({len(data)} bytes)"


def _replace(target: Path, data: bytes) -> None:
    """Write so that a reader sees the old file or the new one, never a part."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".report-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
