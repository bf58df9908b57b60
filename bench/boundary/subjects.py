"""What is attacked: the tools as they are, and two planted ones that have to be found out."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from bench.boundary.world import World
from bursar.errors import InvalidInput
from bursar.gate.boundary import Boundary
from bursar.testing import tool_context
from bursar_worker.builtin.workspace import (
    delete_file,
    edit_file,
    glob,
    grep,
    list_files,
    read_file,
    write_file,
)

__all__ = ["ACTS", "Checked", "Subject", "TextOnly", "Tools"]

ACTS = ("read", "write", "edit", "delete", "list", "find", "search")


class Subject(Protocol):
    """Raises `InvalidInput` for what it refuses."""

    def act(self, act: str, path: str) -> str: ...


class Tools:
    """The workspace toolset in a session whose folder is the world's."""

    def __init__(self, world: World) -> None:
        boundary = Boundary(base=world.base, folder=world.root.name)
        ctx = replace(tool_context(files=world.root, timeout_s=3600), boundary=boundary)
        self._acts: dict[str, Callable[[str], object]] = {
            "read": lambda path: read_file(ctx, path),
            "write": lambda path: write_file(ctx, path, "written"),
            "edit": lambda path: edit_file(ctx, path, "a", "b", all=True),
            "delete": lambda path: delete_file(ctx, path),
            "list": lambda path: list_files(ctx, path),
            "find": lambda path: glob(ctx, "**", path),
            "search": lambda path: grep(ctx, ".", path),
        }

    def act(self, act: str, path: str) -> str:
        return str(self._acts[act](path))


class TextOnly:
    """Planted: looks at the text of a path, so that symlinks and the twin's name get by."""

    def __init__(self, world: World) -> None:
        self._root = str(world.root)

    def act(self, act: str, path: str) -> str:
        whole = os.path.normpath(f"{self._root}/{path}")
        if not whole.startswith(self._root):
            raise InvalidInput("outside", field="path")
        return self._do(act, whole)

    def _do(self, act: str, path: str) -> str:
        try:
            if not os.path.isfile(path) and act != "list":  # noqa: PTH113  (a naive one)
                raise InvalidInput("no file", field="path")
            if act == "list":
                return str(os.listdir(path))  # noqa: PTH208
            if act == "delete":
                os.unlink(path)  # noqa: PTH108
                return ""
            mode = "w" if act in {"write", "edit"} else "r"
            with open(path, mode, opener=_at_once) as file:
                return str(file.write("written")) if file.writable() else file.read()
        except (OSError, ValueError) as error:
            raise InvalidInput(str(error), field="path") from error


def _at_once(path: str, flags: int) -> int:
    """Open without waiting, or the first pipe would end the hunt."""
    return os.open(path, flags | os.O_NONBLOCK, 0o600)


class Checked(TextOnly):
    """Planted: resolves symlinks and checks rightly, but opens only afterwards."""

    def act(self, act: str, path: str) -> str:
        whole = f"{self._root}/{path}"
        try:
            real = os.path.realpath(whole)
            has_twin = os.path.isfile(real) and Path(real).stat().st_nlink > 1  # noqa: PTH113
        except (OSError, ValueError) as error:
            raise InvalidInput(str(error), field="path") from error
        if has_twin or os.path.commonpath([real, self._root]) != self._root:
            raise InvalidInput("outside", field="path")
        return self._do(act, whole)
