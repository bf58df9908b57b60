"""Paths that a model names, kept inside the session's workspace folder."""

from pathlib import Path, PurePosixPath

from bursar.context import ToolContext
from bursar.errors import InvalidInput

__all__ = ["REPORT_FOLDER", "inside", "root_of"]

REPORT_FOLDER = "bursar-report"

_MAX_PATH_CHARS = 1024


def root_of(ctx: ToolContext) -> Path:
    """Return the workspace folder.

    Raises:
        InvalidInput: The session has none, or it does not exist.

    """
    if ctx.files is None:
        raise InvalidInput("this session was opened without one", field="workspace_path")
    if not ctx.files.is_dir():
        raise InvalidInput("this folder does not exist", field="workspace_path")
    return ctx.files.resolve()


def inside(root: Path, path: str, *, field: str = "path") -> Path:
    """Return ``path`` below the resolved ``root``, or refuse it.

    Symlinks are followed first, so one that leads out of the folder is refused like ``..`` is.
    """
    relative = PurePosixPath(path)
    if len(path) > _MAX_PATH_CHARS or "\x00" in path:
        raise InvalidInput("expected a path of at most 1024 characters", field=field)
    if relative.is_absolute() or ".." in relative.parts:
        raise InvalidInput("expected a path inside the workspace folder", field=field)
    target = (root / relative).resolve()
    if not target.is_relative_to(root):
        raise InvalidInput("this leads out of the workspace folder", field=field)
    return target
