"""``bursar top``: the whole installation, live."""

from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.options import AsJson, connect
from bursar.cli.output import ago, bar, clean, console, make_table, print_json, watch
from bursar.money import usd

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bursar.client import InstallationView, WorkspaceLoad

__all__ = ["top"]

_BLOCKED = {
    "agent": "no worker serves their agent",
    "cap": "their workspace's cap is reached",
    "paused": "their workspace is paused",
    "tree": "their tree's cap is reached",
}


def top(
    ctx: typer.Context,
    every_s: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between looks.")] = 1,
    once: Annotated[bool, typer.Option("--once", help="Look once, and leave.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show workers, workspaces, queues and spending, until Ctrl-C. Needs an administrator's key.

    Example: bursar top --once --json
    """
    with connect(ctx) as client:
        if not once:
            watch(client.get_installation, _picture, every_s=every_s, as_json=as_json)
        elif as_json:
            print_json(client.get_installation())
        else:
            console().print(_picture(client.get_installation()))


def _picture(view: "InstallationView") -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(_summary(view), style="bold"),
        _workers(view),
        Text(),
        _workspaces(view),
    ]
    bells = {name: count for name, count in view.queues.items() if count}
    if bells:
        told = ", ".join(f"{count} in {clean(name)}" for name, count in bells.items())
        parts.append(Text(f"not heard yet: {told}", style="yellow"))
    for why, count in view.blocked.items():
        if count:
            parts.append(Text(f"{count} blocked: {_BLOCKED.get(why, why)}", style="yellow"))
    return Group(*parts)


def _summary(view: "InstallationView") -> str:
    slots = sum(worker.slots for worker in view.workers)
    busy = sum(worker.busy for worker in view.workers)
    states = (
        f"{sum(getattr(each, state) for each in view.workspaces)} {state}"
        for state in ("running", "queued", "waiting")
    )
    spent = sum(each.posted_microusd for each in view.workspaces)
    workers = f"{len(view.workers)} worker{'' if len(view.workers) == 1 else 's'}"
    return " · ".join([f"{workers}, {busy} of {slots} slots busy", *states, f"{usd(spent)} spent"])


def _workers(view: "InstallationView") -> "RenderableType":
    from rich.markup import escape

    rows = [
        [
            escape(clean(worker.id)),
            f"{worker.busy} of {worker.slots}",
            bar(worker.busy, worker.slots, 100),
            escape(clean(worker.group)),
            escape(clean(worker.host)),
            ago(worker.started_ms),
            escape(clean(worker.agents)[:60]),
        ]
        for worker in view.workers
    ]
    columns = ["worker", "busy>", "", "group", "host", "started", "agents"]
    return make_table(columns, rows, empty="no worker lives")


def _workspaces(view: "InstallationView") -> "RenderableType":
    from rich.markup import escape

    busiest = sorted(view.workspaces, key=lambda each: (-each.running, -each.queued, each.id))
    rows = [
        [
            escape(each.id),
            str(each.running),
            str(each.queued),
            str(each.waiting),
            _spent(each),
            "killed" if each.killed else "paused" if each.paused else "",
        ]
        for each in busiest
    ]
    columns = ["workspace", "running>", "queued>", "waiting>", "spent and held>", ""]
    return make_table(columns, rows, empty="no workspaces yet")


def _spent(load: "WorkspaceLoad") -> str:
    used = load.posted_microusd + load.pending_microusd
    if load.limit_microusd is None:
        return usd(used)
    return f"{usd(used)} of {usd(load.limit_microusd)} {bar(used, load.limit_microusd, 80)}"
