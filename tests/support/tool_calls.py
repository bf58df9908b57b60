"""Starting tool calls in tests that are about something else than the gate."""

from collections.abc import Sequence

from bursar.audit.entries import Record
from bursar.events import Event
from bursar.gate.requests import Use
from bursar.leases import Lease
from bursar.store.scripts import tools
from bursar.store.scripts.budgets import HoldRef, HoldWish, Path
from bursar.store.scripts.tools import Permit
from bursar.store.store import Store

__all__ = ["start_tool"]


async def start_tool(
    store: Store,
    lease: Lease,
    call_field: str,
    events: Sequence[Event] = (),
    wish: HoldWish | None = None,
    path: Path | None = None,
    *,
    once: bool = False,
    version: str = "0",
    use: Use = Use(),  # noqa: B008  (frozen)
) -> HoldRef | None:
    """Start a call that needs nobody's permission."""
    workspace = lease.session.workspace
    record = Record(workspace=workspace.id, actor="agent:echo", action="x", decision="allow")
    permit = Permit(version, use, record.body, wish, once)
    started = await tools.start_tool(store, lease, call_field, events, permit, path or Path((), ()))
    assert started.status == "ok"
    return started.hold
