"""Where a path lies: in the session's folder, outside of it, or where nobody may go.

`locate` goes by the text alone; tools that walk without following symlinks open exactly what the
text says. `resolve` also follows symlinks as they are now, as tools of others may do.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bursar.errors import InvalidInput
from bursar.files.names import MAX_PATH_CHARS, path_from_uri, split_path
from bursar.gate.patterns import Action, Operation
from bursar.gate.policy import Policy, Rules

__all__ = ["MODES", "Boundary", "BoundaryMode", "Place", "never_trees"]

BoundaryMode = Literal["safe", "guided", "autonomous", "ci"]
"""What becomes of a path outside that nobody opened: ``safe`` and ``guided`` ask a person,
``autonomous`` lets it through, ``ci`` refuses."""
MODES: tuple[BoundaryMode, ...] = ("safe", "guided", "autonomous", "ci")

_NO_PATH = re.compile(r"[\x00\n\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Place:
    """``path`` is relative to the session's folder when ``where`` is ``inside``, else absolute."""

    where: Literal["inside", "outside", "never"]
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """Around one session: ``base/folder`` is its own, ``never`` are trees that nobody may touch.

    ``folder`` is None for a session that was opened without one: there is nothing to confine, and
    only ``never`` counts.
    """

    base: Path
    folder: str | None = ""
    mode: BoundaryMode = "safe"
    never: tuple[str, ...] = ()
    """As `never_trees` returns them."""
    policy: Rules = field(default_factory=Policy)
    """The agent's, for tools that come upon more files than their action names."""
    opened: tuple[str, ...] = ()
    """Canonical paths outside of the folder that people let this one call reach."""
    shell_path: str | None = None
    """The search path of commands; None when this worker runs none."""

    root: str = field(init=False)
    """The session's folder as an absolute path."""
    _roots: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Of the way to the folder only the operator's part may be a symlink.
        bases = (self.base.absolute(), Path(os.path.realpath(self.base)))
        roots = tuple(os.path.normpath(base / (self.folder or "")) for base in bases)
        object.__setattr__(self, "root", roots[0])
        object.__setattr__(self, "_roots", roots)

    def locate(self, path: str, *, field: str) -> Place:
        """Say where a path or ``file:`` URI lies if it leads through no symlink.

        Raises:
            InvalidInput: ``..`` or a name that no file may have; ``field`` is the argument.

        """
        text = path_from_uri(path, field=field)
        parts = split_path(text.lstrip("/"), field=field)
        if not text.startswith("/"):
            return self._placed("/".join((self.root, *parts)))
        return self._placed("/" + "/".join(parts))

    def resolve(self, path: str, *, field: str, named: bool = True) -> Place | None:
        """Say where a path or ``file:`` URI leads now, as far as it exists.

        A text that was not ``named`` a path may be anything; None when it cannot be one.
        """
        text = path_from_uri(path, field=field)
        if named:
            split_path(text.lstrip("/"), field=field)
            if _expanded(text) != text:
                raise InvalidInput("expected a path without '~'; name the place", field=field)
        elif len(text) > MAX_PATH_CHARS or _NO_PATH.search(text):
            return None
        target = Path(self.root, _expanded(text))
        place = self._placed(os.path.realpath(target))
        # Trees are told by their own names as well, should they be symlinks.
        lexical = self._placed(os.path.normpath(target))
        return lexical if lexical.where == "never" else place

    def located(self, action: Action) -> Action:
        """Return a file's action with the one path that rules are written for.

        Raises:
            InvalidInput: ``field`` is ``action``.

        """
        if action.kind != "file" or self.folder is None:
            return action
        path = self.locate(action.path, field="action").path
        return Action("file", path, action.operation)

    def permits(self, operation: Operation, path: str) -> bool:
        """Whether the policy lets a pure tool that came upon a file do this without asking."""
        return self.policy.decide(Action("file", path, operation), "pure").verdict == "allow"

    def lets_out_to(self, path: str) -> bool:
        """Whether a tool may act on this path outside of the folder."""
        return self.mode == "autonomous" or path in self.opened

    def _placed(self, path: str) -> Place:
        found = next((root for root in self._roots if _is_below(path, root)), None)
        below, names = "", [path]
        if found is not None:
            below = path[len(found) :].strip("/")
            names += [f"{root}/{below}" for root in self._roots]
        if any(_is_below(n.casefold(), tree.casefold()) for n in names for tree in self.never):
            return Place("never", path)
        if found is None or self.folder is None:
            return Place("outside", path)
        return Place("inside", below or ".")


def never_trees(paths: Iterable[str]) -> tuple[str, ...]:
    """Return trees by all their names: a leading ``~`` is the worker's home, symlinks resolved."""
    trees: dict[str, None] = {}
    for path in paths:
        tree = os.path.normpath(Path(_expanded(path)).absolute())
        trees |= {tree: None, os.path.realpath(tree): None}
    return tuple(trees)


def _is_below(path: str, tree: str) -> bool:
    return path == tree or path.startswith(tree.rstrip("/") + "/")


def _expanded(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111  (Path's raises for a user that there is not)
