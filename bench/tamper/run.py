"""Plants changes, one after the other, and verifies after each of them."""

from collections import Counter
from dataclasses import dataclass, field

from bench.tamper.ends import ENDS, WITH_HEAD
from bench.tamper.entries import ENTRIES, Tamper
from bench.tamper.place import State, load, save
from bench.tamper.site import LOGS, Site
from bursar.store.scripts.audit import AuditLog

__all__ = ["Result", "plant"]

_CONTROL_EVERY = 50


@dataclass
class Result:
    """``missed`` tampers were not found, ``misplaced`` ones named with another entry."""

    planted: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    untouched: int = 0
    """Verifications of untouched logs, and what they found."""
    false_alarms: list[str] = field(default_factory=list)
    unchanged: int = 0

    @property
    def total(self) -> int:
        return self.planted.total()


async def plant(site: Site, count: int) -> Result:
    """Plant so many changes, of every kind on every log."""
    result = Result()
    logs = [AuditLog.of(site.store, workspace) for workspace in LOGS]
    whole = {log.workspace: await load(site.store, log) for log in logs}
    kinds = (*ENTRIES, *ENDS, *WITH_HEAD)
    number = 0
    while result.total < count:
        log = logs[number // len(kinds) % len(logs)]
        kind = kinds[number % len(kinds)]
        if number % _CONTROL_EVERY == 0:
            await _control(site, log, result)
        await _one(site, whole[log.workspace], kind, result)
        number += 1
    for log in logs:
        await _control(site, log, result)
    return result


async def _one(site: Site, before: State, kind: Tamper, result: Result) -> None:
    changed = before.copy()
    low, high = kind(site.rng, changed)
    if changed == before:
        return
    kept = _head_of(before) if kind in WITH_HEAD else None
    await save(site.store, changed, before)
    verdict = await site.verify(before.log, kept)
    await save(site.store, before, changed)
    result.planted[kind.__name__] += 1
    what = f"{kind.__name__} of {before.log.workspace}: expected {low} to {high}"
    if verdict.ok:
        result.missed.append(what)
    elif verdict.wrong_seq is None or not low <= verdict.wrong_seq <= high:
        result.misplaced.append(f"{what}, found {verdict.findings[:3]}")


def _head_of(state: State) -> dict[int, str]:
    last = state.seal(-1)
    return {last.to_seq: last.head}


async def _control(site: Site, log: AuditLog, result: Result) -> None:
    verdict = await site.verify(log, None)
    result.untouched += 1
    if not verdict.ok:
        result.false_alarms.append(f"{log.workspace}: {verdict.findings[:3]}")
