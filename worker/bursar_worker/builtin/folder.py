"""The session's workspace folder, as tools reach it."""

from bursar.context import ToolContext
from bursar.errors import InvalidInput
from bursar.files import WorkspaceFiles
from bursar.gate.boundary import Boundary

__all__ = ["boundary_of_call", "workspace_files"]


def boundary_of_call(ctx: ToolContext) -> Boundary:
    """Return the boundary of a call; a context that has none has a closed one around its files.

    Raises:
        InvalidInput: The session was opened without a folder.

    """
    if ctx.files is None:
        raise InvalidInput("this session was opened without one", field="workspace_path")
    return ctx.boundary or Boundary(base=ctx.files)


def workspace_files(ctx: ToolContext) -> WorkspaceFiles:
    """Return the files of the session.

    Raises:
        InvalidInput: It was opened without a folder.

    """
    boundary = boundary_of_call(ctx)
    return WorkspaceFiles(boundary.base, boundary.folder or "")
