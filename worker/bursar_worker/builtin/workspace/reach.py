"""From a path that a model wrote to the files that it may reach with it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bursar.context import ToolContext
from bursar.errors import InvalidInput
from bursar.files import Entry, WorkspaceFiles, path_from_uri, split_path
from bursar.gate.boundary import Boundary
from bursar.gate.patterns import Operation
from bursar_worker.builtin.folder import boundary_of_call, workspace_files

__all__ = ["MAX_FILE_BYTES", "Reach", "acts_on", "reach"]

MAX_FILE_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class Reach:
    """``path`` is the one meant, below ``files``; ``above`` is what stands before it for people."""

    files: WorkspaceFiles
    path: str
    above: str
    boundary: Boundary

    def shown(self, path: str) -> str:
        return self.above + path

    def may_read(self, entry: Entry) -> bool:
        """Whether a tool that comes upon this file may open it, as if it had been asked to."""
        path = self.shown(entry.path)
        return not self.is_closed(entry) and self.boundary.permits("read", path)

    def is_closed(self, entry: Entry) -> bool:
        """Whether this is a tree that nobody may touch."""
        return self.boundary.locate(self.shown(entry.path), field="path").where == "never"


def reach(ctx: ToolContext, path: str, *, field: str) -> Reach:
    """Find the place that a path names.

    The gate has judged it before. It is judged once more because a tool can be called without a
    gate, and by its text alone: whatever is opened in the end is reached without any symlink.

    Raises:
        InvalidInput: It is outside, and nobody let the call out.

    """
    boundary = boundary_of_call(ctx)
    place = boundary.locate(path, field=field)
    if place.where == "inside":
        path = "" if place.path == "." else place.path
        return Reach(workspace_files(ctx), path, "", boundary)
    if place.where == "never" or not boundary.lets_out_to(place.path):
        raise InvalidInput("expected a path inside of the workspace folder", field=field)
    return Reach(WorkspaceFiles(Path("/")), place.path.strip("/"), "/", boundary)


def acts_on(operation: Operation, argument: str) -> Callable[[dict[str, Any]], str]:
    """Return the ``action`` of a tool that does ``operation`` to the path in ``argument``."""

    def action(arguments: dict[str, Any]) -> str:
        path = path_from_uri(arguments.get(argument, ""), field=argument)
        split_path(path.lstrip("/"), field=argument)
        return f"file+{operation}://{path or '.'}"

    return action
