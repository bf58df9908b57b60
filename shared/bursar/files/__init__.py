"""Files below one folder: no path, symlink or race leads out of it."""

from bursar.files.names import MAX_PATH_CHARS, path_from_uri, split_path
from bursar.files.tree import Entry
from bursar.files.workspace import WorkspaceFiles

__all__ = ["MAX_PATH_CHARS", "Entry", "WorkspaceFiles", "path_from_uri", "split_path"]
