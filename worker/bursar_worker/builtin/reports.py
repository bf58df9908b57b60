"""Writing reports into a session's workspace folder."""

from typing import Annotated

from msgspec import Meta

from bursar.context import ToolContext
from bursar.errors import InvalidInput
from bursar.files import split_path
from bursar.tools import tool
from bursar_worker.builtin.folder import workspace_files

__all__ = ["REPORT_FOLDER", "write_report"]

REPORT_FOLDER = "bursar-report"
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
    files = workspace_files(ctx)
    if not path.endswith(".md") or path.startswith("/"):
        raise InvalidInput("expected a relative name that ends in .md", field="path")
    data = markdown.encode(errors="replace")
    target = "/".join((REPORT_FOLDER, *split_path(path, field="path")))
    if len(data) > _MAX_BYTES:
        raise InvalidInput(f"expected at most {_MAX_BYTES} bytes", field="markdown")
    files.write(target, data, max_bytes=_MAX_BYTES)
    return f"{target} ({len(data)} bytes)"
