"""The boundary around the session of a drive, from the worker's settings."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bursar.gate.boundary import Boundary, never_trees
from bursar.gate.policy import Rules
from bursar.settings import WorkerSettings

__all__ = ["boundary_of"]


def boundary_of(settings: WorkerSettings, fields: Mapping[str, str], policy: Rules) -> Boundary:
    """``fields`` are the session's, ``policy`` is its agent's."""
    return Boundary(
        base=Path(settings.files_root).absolute(),
        folder=fields.get("workspace_path") or None,
        mode=settings.boundary_mode,
        never=_trees(tuple(settings.boundary_never)),
        policy=policy,
        shell_path=settings.shell_path if settings.shell else None,
    )


@cache
def _trees(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Each step of a turn asks, and the answer takes a look at every folder on the way."""
    return never_trees(paths)
