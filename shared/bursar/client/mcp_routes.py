"""The gateway's routes about tools of MCP servers. See `bursar.client.routes`."""

from bursar.client.calls import Call
from bursar.client.mcp_views import AcceptedManifest, ManifestView
from bursar.client.places import Places, given

__all__ = ["McpRoutes"]


class McpRoutes(Places):
    """Builds the requests about MCP; they need an administrator's key."""

    def list_manifests(self) -> Call[list[ManifestView]]:
        """The tools of MCP servers that were ever seen, and how those look now that changed."""
        return Call(method="GET", path="/v1/mcp/manifests", kind=list[ManifestView])

    def accept_manifests(
        self, agent: str, server: str, *, tool: str | None = None, sha256: str | None = None
    ) -> Call[list[AcceptedManifest]]:
        """Accept a changed tool as it looks now, or all changed ones of a server.

        Args:
            sha256: of the look that was decided on; if the tool changed once more, it is refused.

        """
        body = {"agent": agent, "server": server} | given(tool=tool, sha256=sha256)
        path = "/v1/mcp/manifests/accept"
        return Call(method="POST", path=path, kind=list[AcceptedManifest], body=body)
