"""What a client reads about tools of MCP servers. See `bursar.client.views`."""

import msgspec

__all__ = ["AcceptedManifest", "Look", "ManifestView"]


class Look(msgspec.Struct, frozen=True):
    """How a tool looks. ``sha256`` is over all that its server says of it."""

    sha256: str
    description: str
    parameters: str
    """The JSON Schema, cut if it is long."""


class ManifestView(msgspec.Struct, frozen=True):
    """A tool of an agent's MCP server. ``changed`` is how it looks now, if not as accepted."""

    agent: str
    server: str
    tool: str
    accepted: Look
    accepted_ms: int
    accepted_by: str
    changed: Look | None = None
    changed_ms: int = 0
    changes: str = ""
    """What is different, in words."""


class AcceptedManifest(msgspec.Struct, frozen=True):
    agent: str
    server: str
    tool: str
    sha256: str
