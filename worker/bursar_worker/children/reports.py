"""What became of sub-agents, as their parent reads it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.messages import AssistantMessage
from bursar.store.codec import decode_message, text
from bursar.store.keys import WorkspaceKeys
from bursar.store.store import Store
from bursar.tools import render_output
from bursar_worker.calls import Outcome

__all__ = ["Report", "read_reports", "rendered"]

_LEAST_CHARS = 200
_COUNTED_CHARS = 100  # of the entry that says how many others there are
_WAYS = {"timed_out": "timed out", "budget_exhausted": "ran out of money"}


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """One sub-agent's end. ``output`` is its answer, or the part of one that it came to.

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
    return await asyncio.gather(*(_report(store, workspace, text(slot)) for slot in slots))


async def _report(store: Store, workspace: WorkspaceKeys, slot: str) -> Report:
    if not slot:
        return Report("", "unopened", reason="not needed any more")
    sid, _, rest = slot.partition(" ")
    if not rest:
        return Report(sid, "")
    state, _, code = rest.partition(" ")
    session = workspace.session(sid)
    turn = workspace.turn(f"trn_{sid.partition('~')[2]}")
    found = store.redis.call("HMGET", turn, "reason", "cost_microusd", "steps", "last_message")
    output = store.redis.call("HGET", session.text, "output")
    reason, cost, steps, last = map(text, await found)
    raw = await store.redis.call("LINDEX", session.messages, int(last)) if last else None
    message = decode_message(raw) if raw else None
    said: Any = message.text if isinstance(message, AssistantMessage) else ""
    if await output and state == "succeeded":
        said = msgspec.json.decode(said)
    return Report(sid, state, said, code, reason, int(cost or 0), int(steps or 0))


def rendered(reports: Sequence[Report], *, single: bool, max_chars: int) -> Outcome:
    """Return the reports as the result of the call that gave the tasks."""
    if single:
        return _alone(reports[0], max_chars)
    share = max(_LEAST_CHARS, max_chars * 4 // 5 // len(reports))
    listed = [_entry(report, share) for report in reports]
    failed = not any(report.ok for report in reports)
    return Outcome(_whole_json(listed, reports, max_chars), is_error=failed)


def _whole_json(listed: list[dict[str, Any]], reports: Sequence[Report], max_chars: int) -> str:
    """The list, of which the last ones are counted only if it is too long: it stays JSON."""
    sizes = [len(render_output(entry, max_chars)) + 1 for entry in listed]
    if sum(sizes) < max_chars:
        return render_output(listed, max_chars)
    room, shown = max_chars - _COUNTED_CHARS, 0
    while shown < len(sizes) and sizes[shown] <= room:
        room -= sizes[shown]
        shown += 1
    left = reports[shown:]
    counted = {"left_out": len(left), "of_them_ok": sum(report.ok for report in left)}
    return render_output([*listed[:shown], counted], max_chars)


def _alone(report: Report, max_chars: int) -> Outcome:
    if report.ok:
        return Outcome(render_output(report.output, max_chars))
    said = f"\nWhat it had until then:\n{report.output}" if report.output else ""
    return Outcome(render_output(f"The sub-agent {_why(report)}.{said}", max_chars), is_error=True)


def _why(report: Report) -> str:
    way = _WAYS.get(report.code, report.state)
    return f"{way}: {report.reason}" if report.reason else way


def _entry(report: Report, share: int) -> dict[str, Any]:
    output = report.output
    if isinstance(output, str):
        output = render_output(output, share)
    entry: dict[str, Any] = {"ok": report.ok, "output": output}
    if not report.ok:
        entry["why"] = _why(report)
    return entry | {
        "session": report.session,
        "cost_microusd": report.cost_microusd,
        "steps": report.steps,
    }
