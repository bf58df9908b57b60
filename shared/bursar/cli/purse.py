"""The demo's purse scene: the money runs out, the turn waits, and goes on when there is more."""

import sys
import threading
import time
from typing import TYPE_CHECKING

from bursar.cli.live import LiveView
from bursar.cli.output import command, console
from bursar.client import LimitChange
from bursar.money import usd

if TYPE_CHECKING:
    from bursar.client import Client, ClientEvent, TurnResult, TurnStream

__all__ = ["SMALL_MICROUSD", "follow_until_paid"]

SMALL_MICROUSD = 30_000
"""Pays for about half of what the demo's agent does."""
_ENOUGH_MICROUSD = 1_000_000
_PATIENCE_S = 30.0  # with a person at the terminal; without one there is nobody to wait for


def follow_until_paid(
    client: "Client", stream: "TurnStream", view: LiveView, *, workspace: str, key: str
) -> "TurnResult":
    """Show a turn to its end, and raise the workspace's budget if nobody else does."""
    scene = _Scene(client, view, workspace, key)
    try:
        for event in stream:
            view.show(event)
            scene.see(event)
    finally:
        scene.end()
    view.end()
    return stream.result()


class _Scene:
    def __init__(self, client: "Client", view: LiveView, workspace: str, key: str) -> None:
        self._client = client
        self._workspace = workspace
        self._key = key
        self._view = view
        self._timer: threading.Timer | None = None
        self._dry_s = 0.0

    def see(self, event: "ClientEvent") -> None:
        if event.kind == "turn.waiting" and event.data.get("reason") == "budget":
            self._dry_s = time.monotonic()
            self._tell()
        elif event.kind == "turn.resumed":
            self.end()
            waited_s = time.monotonic() - self._dry_s
            account = self._client.get_budget()
            limit = usd(account.limit_microusd or 0)
            self._view.note(f"the budget is {limit} now; the turn goes on after {waited_s:.1f} s")

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _tell(self) -> None:
        watched = sys.stdin.isatty()
        patience_s = _PATIENCE_S if watched else 1.0
        out = console()
        out.print("The purse is empty. The turn waits; it holds no worker and no money.")
        if watched:
            out.print("Raise the budget from another terminal:", style="bold")
            for line in (
                f"export BURSAR_URL={self._client.base_url} BURSAR_API_KEY={self._key}",
                command("budget set 1", self._workspace),
            ):
                out.print(f"  {line}", markup=False, soft_wrap=True)
        out.print(f"Otherwise it is raised in {patience_s:.0f} s.", style="dim")
        self._timer = threading.Timer(patience_s, self._raise)
        self._timer.daemon = True
        self._timer.start()

    def _raise(self) -> None:
        self._client.set_budget(LimitChange(limit_microusd=_ENOUGH_MICROUSD))
