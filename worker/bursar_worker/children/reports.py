"""What became of sub-agents, as their parent reads it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.endings import read_ending
from bursar.jobs.records import Slot
from bursar.store.codec import text
from bursar.store.keys import WorkspaceKeys
from bursar.store.store import Store
from bursar.tools import render_output
from bursar_worker.calls import Outcome

__all__ = ["Report", "read_reports", "rendered"]

_AT_ONCE = 100  # sessions that are read
_LEAST_CHARS = 200
_COUNTED_CHARS = 100  # of the entry that says how many others there are
_WAYS = {"timed_out": "timed out", "budget_exhausted": "ran out of money"}


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """One sub-agent's end, as `Ending` has it.

    Args:
        state: how its turn ended; empty while it has not, ``unopened`` if it never began.

    """

    session: str
    state: str
    output: Any = ""
    code: str = ""
    reason: str = ""
    cost_microusd: int = 0
    steps: int = 0

    @property
    def ok(self) -> bool:
        return self.state == "succeeded"

    @property
    def ended(self) -> bool:
        return bool(self.state)


async def read_reports(
    store: Store, workspace: WorkspaceKeys, slots: Sequence[bytes | None]
) -> list[Report]:
    """Read the reports of a join's slots, in their order."""
    found: list[Report] = []
    for start in range(0, len(slots), _AT_ONCE):
        part = slots[start : start + _AT_ONCE]
        found += await asyncio.gather(*(_report(store, workspace, text(slot)) for slot in part))
    return found


async def _report(store: Store, workspace: WorkspaceKeys, slot: str) -> Report:
    if not slot:
        return Report("", "unopened", reason="not needed any more")
    place = Slot.parse(slot)
    session, state = place.session, place.outcome
    found = await read_ending(store, workspace.session(session), succeeded=state == "succeeded")
    if state == "succeeded" and found.deleted:
        state = "failed"  # nobody can be told any more what it said
    cost, steps = found.cost_microusd, found.steps
    return Report(session, state, found.output, place.code, found.reason, cost, steps)


def rendered(reports: Sequence[Report], *, single: bool, max_chars: int) -> Outcome:
    """Return the reports as the result of the call that gave the tasks."""
    if single:
        return _alone(reports[0], max_chars)
    failed = not any(report.ok for report in reports)
    return Outcome(_listed(reports, max_chars), is_error=failed)


def _listed(reports: Sequence[Report], max_chars: int) -> str:
    """All of them as JSON. What is too long is cut to texts, and then the last ones are counted."""
    share = max(_LEAST_CHARS, max_chars * 4 // 5 // len(reports))
    entries: list[dict[str, Any]] = []
    sizes: list[int] = []
    for json_share in (max_chars, share):
        entries = [_entry(report, share, json_share) for report in reports]
        sizes = [len(render_output(entry, max_chars)) + 1 for entry in entries]
        if sum(sizes) < max_chars:
            return render_output(entries, max_chars)
    room, shown = max_chars - _COUNTED_CHARS, 0
    while shown < len(sizes) and sizes[shown] <= room:
        room -= sizes[shown]
        shown += 1
    left = reports[shown:]
    counted = {"left_out": len(left), "of_them_ok": sum(report.ok for report in left)}
    return render_output([*entries[:shown], counted], max_chars)


def _alone(report: Report, max_chars: int) -> Outcome:
    if report.ok:
        return Outcome(render_output(report.output, max_chars))
    said = f"\nWhat it had until then:\n{report.output}" if report.output else ""
    return Outcome(render_output(f"The sub-agent {_why(report)}.{said}", max_chars), is_error=True)


def _why(report: Report) -> str:
    way = _WAYS.get(report.code, report.state)
    return f"{way}: {report.reason}" if report.reason else way


def _entry(report: Report, text_share: int, json_share: int) -> dict[str, Any]:
    """One of a list. Text is cut; a value stays one if it has no more characters than its share."""
    output = report.output
    share = text_share if isinstance(output, str) else json_share
    said = render_output(output, share)
    if isinstance(output, str) or len(said) > share:
        output = said
    entry: dict[str, Any] = {"ok": report.ok, "output": output}
    if not report.ok:
        entry["why"] = _why(report)
    return entry | {
        "session": report.session,
        "cost_microusd": report.cost_microusd,
        "steps": report.steps,
    }
