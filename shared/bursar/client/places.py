"""How the paths of a gateway's routes are put together."""

from typing import Any
from urllib.parse import quote

from bursar.client.views import SessionView, TurnView

__all__ = ["Places", "given", "id_of"]


def given(**values: Any) -> dict[str, Any]:
    """Only what is not None, for bodies and queries."""
    return {name: value for name, value in values.items() if value is not None}


def id_of(thing: str | SessionView | TurnView) -> str:
    """An id, or that of a view, as a part of a path."""
    return quote(thing if isinstance(thing, str) else thing.id, safe="")


class Places:
    """Paths in one workspace."""

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace

    def _in_workspace(self, path: str = "", workspace: str = "") -> str:
        return f"/v1/workspaces/{quote(workspace or self.workspace, safe='')}{path}"

    def _of(self, session: str | SessionView, path: str = "") -> str:
        return self._in_workspace(f"/sessions/{id_of(session)}{path}")
