"""What calls did outside of Redis, as the tools of `bench.approvals.agents` wrote it down."""

from collections import defaultdict
from pathlib import Path

import msgspec

__all__ = ["Effect", "by_call", "read_effects", "write_for_chaos"]


class Effect(msgspec.Struct, frozen=True):
    """One call that ran. ``what`` is its argument, ``at_ns`` this machine's monotonic time."""

    kind: str
    workspace: str
    session: str
    turn: str
    step: int
    call: str
    key: str
    what: str
    at_ns: int


def read_effects(path: Path) -> list[Effect]:
    return [_effect(line) for line in path.read_text().splitlines()]


def _effect(line: str) -> Effect:
    kind, workspace, session, turn, step, call, key, what, at_ns = line.split(" ")
    return Effect(kind, workspace, session, turn, int(step), call, key, what, int(at_ns))


def by_call(effects: list[Effect]) -> dict[tuple[str, str], list[Effect]]:
    """Effects by session and call; in these benchmarks no session uses a call's id twice."""
    found: dict[tuple[str, str], list[Effect]] = defaultdict(list)
    for effect in effects:
        found[effect.session, effect.call].append(effect)
    return found


def write_for_chaos(effects: list[Effect], path: Path) -> Path:
    """The same in the form that `bench.chaos.audit` reads."""
    path.write_text(
        "".join(f"{e.kind} {e.session} {e.turn} {e.step} {e.call} {e.key}\n" for e in effects)
    )
    return path
