"""What a client reads of the whole installation; see `bursar.client.views`."""

import msgspec

from bursar.client.views import WorkerView

__all__ = ["InstallationView", "WorkspaceLoad"]


class WorkspaceLoad(msgspec.Struct, frozen=True):
    """Sessions of a workspace by state, and its purse; ``limit_microusd`` None: no limit."""

    id: str
    running: int
    queued: int
    waiting: int
    paused: bool = False
    killed: bool = False
    limit_microusd: int | None = None
    posted_microusd: int = 0
    pending_microusd: int = 0


class InstallationView(msgspec.Struct, frozen=True):
    """``queues`` counts bells that no worker has heard yet, by queue.

    ``blocked`` counts sessions that have work and may not run, by what stands against it: ``agent``
    (nobody serves it), ``paused``, ``cap`` (of the workspace) or ``tree`` (its cap).
    """

    workers: list[WorkerView]
    workspaces: list[WorkspaceLoad]
    queues: dict[str, int]
    blocked: dict[str, int]
