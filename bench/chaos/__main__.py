"""``make bench NAME=chaos``: break things on purpose, then audit what is left.

Without options everything at once for two minutes. ``--points`` kills at each point of a turn's
way, ``--pauses`` stops workers beyond their lease, ``--reconnects`` cuts streams and kills
gateways, ``--flushes`` empties the queue's database under load. ``--tree`` kills workers under a
job of thousands of sub-agents, and cancels trees of sessions in the middle of their calls. The seed
is printed; give it again to repeat.
"""

import argparse
import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import uvloop

from bench.chaos import fanned, flushes, mix, pauses, points, reconnects, stopped
from bench.chaos.site import BrokenSite
from bench.report import Bar, median, none_of, percentile, report, seed_of, show_wrong
from bursar.failpoints import POINTS

__all__ = ["main"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--points", type=int, default=0, metavar="KILLS", help="at each point")
    parser.add_argument("--only", default="", help="points for --points, such as C7,C11")
    parser.add_argument("--pauses", type=int, default=0, metavar="N")
    parser.add_argument("--reconnects", type=int, default=0, metavar="N")
    parser.add_argument("--kills", type=int, default=50, help="of gateways, with --reconnects")
    parser.add_argument("--flushes", type=int, default=0, metavar="N")
    parser.add_argument("--tree", action="store_true")
    parser.add_argument("--items", type=int, default=5000, help="of the job, with --tree")
    parser.add_argument("--deaths", type=int, default=20, help="of workers, with --tree")
    parser.add_argument("--cancels", type=int, default=12, help="of trees of 64, with --tree")
    parser.add_argument("--sessions", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed = seed_of(options.seed)
    with tempfile.TemporaryDirectory(prefix="bursar-chaos-") as folder:
        uvloop.run(_chosen(options, Path(folder), seed))


def _chosen(options: argparse.Namespace, folder: Path, seed: int) -> Coroutine[Any, Any, None]:
    if options.points:
        only = tuple(point for point in options.only.split(",") if point)
        return _points(folder, options.points, options.sessions, only, seed)
    if options.pauses:
        return _pauses(folder, options.pauses, options.sessions, seed)
    if options.reconnects:
        return _reconnects(folder, options.reconnects, options.kills, seed)
    if options.flushes:
        return _flushes(folder, options.flushes, options.sessions, seed)
    if options.tree:
        return _tree(folder, options.items, options.deaths, options.cancels, seed)
    return _mix(folder, options.minutes, options.workers, seed)


async def _mix(folder: Path, minutes: float, workers: int, seed: int) -> None:
    async with BrokenSite(folder, workers=workers) as site:
        done = await mix.run(site, seconds=minutes * 60, seed=seed)
    found = done.findings
    show_wrong(found.wrong)
    rows = [(deed, str(count)) for deed, count in sorted(done.deeds.items())]
    rows += [
        ("turns accepted", str(done.accepted)),
        ("requests repeated", str(done.repeats)),
        *((f"turns {state}", str(count)) for state, count in sorted(found.turns.items())),
        *((f"effects {kind}", str(count)) for kind, count in sorted(found.effects.items())),
        ("outcomes shown as unknown", str(found.unknown)),
        ("attempts abandoned", str(found.abandoned)),
    ]
    report("chaos", seed, rows, [none_of("chaos", "things wrong afterwards", len(found.wrong))])


async def _points(
    folder: Path, kills: int, sessions: int, only: tuple[str, ...], seed: int
) -> None:
    runs = []
    for effect in points.CLASSES:
        at = folder / effect
        at.mkdir()
        runs.append(points.run(at, effect, kills=kills, seed=seed, sessions=sessions, points=only))
    done = await asyncio.gather(*runs)
    wrong = [line for each in done for line in each.findings.wrong]
    show_wrong(wrong)
    reached = sum((each.reached for each in done), Counter[str]())
    rows = [(f"{point}: {POINTS[point]}", str(reached[point])) for point in points.OF_TURNS]
    for effect, each in zip(points.CLASSES, done, strict=True):
        found = each.findings
        rows.append((f"{effect}: turns, effects", f"{each.accepted}, {found.effects[effect]}"))
        rows.append((f"{effect}: shown as unknown", str(found.unknown)))
        rows.append((f"{effect}: attempts abandoned", str(found.abandoned)))
        rows.append((f"{effect}: quarantined", str(found.turns["quarantined"])))
    bars = [
        none_of("points", "effects of at_most_once repeated", _count(wrong, "twice")),
        none_of("points", "outcomes not shown", _count(wrong, "not shown")),
        none_of("points", "repeated streams not announced", _count(wrong, "unannounced")),
        none_of("points", "things wrong in all", len(wrong)),
    ]
    report("chaos", seed, rows, bars)


async def _pauses(folder: Path, wanted: int, sessions: int, seed: int) -> None:
    done = await pauses.run(folder, pauses=wanted, seed=seed, sessions=sessions)
    wrong = done.findings.wrong
    show_wrong(wrong)
    rows = [
        ("pauses beyond the lease", str(done.pauses)),
        ("drives that were fenced", str(done.fenced)),
        ("turns accepted", str(done.accepted)),
        ("turns quarantined", str(done.findings.turns["quarantined"])),
        ("outcomes shown as unknown", str(done.findings.unknown)),
    ]
    bars = [
        none_of("pauses", "stale writes accepted", _count(wrong, "stale write")),
        none_of("pauses", "effects of at_most_once repeated", _count(wrong, "twice")),
        none_of("pauses", "things wrong in all", len(wrong)),
    ]
    report("chaos", seed, rows, bars)


async def _reconnects(folder: Path, wanted: int, kills: int, seed: int) -> None:
    done = await reconnects.run(folder, reconnects=wanted, kills=kills, seed=seed)
    show_wrong(done.wrong)
    rows = [
        ("connects", str(done.connects)),
        ("gateways killed", str(done.kills)),
        ("events compared", str(done.events)),
    ]
    bars = [
        none_of("reconnects", "events lost", done.lost),
        none_of("reconnects", "events doubled", done.doubled),
        none_of("reconnects", "streams that differ from the log", len(done.wrong)),
    ]
    report("chaos", seed, rows, bars)


async def _flushes(folder: Path, wanted: int, sessions: int, seed: int) -> None:
    done = await flushes.run(folder, flushes=wanted, seed=seed, sessions=sessions)
    show_wrong(done.findings.wrong)
    usual_s, late_s = median(done.before_s), percentile(done.during_s, 99)
    rows = [
        ("flushes", str(done.flushes)),
        ("turns without, with", f"{len(done.before_s)}, {len(done.during_s)}"),
        ("a turn without flushes, p50", f"{usual_s:.2f} s"),
        ("a turn with flushes, p50", f"{median(done.during_s):.2f} s"),
    ]
    extra_s = round(late_s - usual_s, 2)
    bars = [
        Bar("flushes", "extra delay, p99 s", extra_s, "≤ 10", extra_s <= 10),
        none_of("flushes", "things wrong afterwards", len(done.findings.wrong)),
    ]
    report("chaos", seed, rows, bars)


async def _tree(folder: Path, items: int, deaths: int, cancels: int, seed: int) -> None:
    (folder / "job").mkdir()
    (folder / "trees").mkdir()
    print(f"a job of {items:,} with {deaths} workers killed …", flush=True)
    job = await fanned.run(folder / "job", items=items, kills=deaths, seed=seed)
    print(f"{cancels} trees of {stopped.SIZE} cancelled …", flush=True)
    trees = await stopped.run(folder / "trees", trees=cancels, seed=seed)
    show_wrong([*job.wrong, *trees.wrong])
    late_s = round(percentile(trees.late_s, 99), 2)
    rows = [
        ("items, children, joined", f"{job.items:,}, {job.children:,}, {job.joined:,}"),
        *((f"items {state}", f"{count:,}") for state, count in sorted(job.states.items())),
        ("workers killed", str(job.kills)),
        ("children open at once, most", str(job.most_open)),
        ("seconds", f"{job.seconds:.0f}"),
        ("spent", f"{job.spent_microusd:,} micro-USD"),
        ("trees cancelled", str(trees.trees)),
        ("leaves in model calls", str(trees.in_calls)),
        ("last sign after the cancel, p50 s", f"{median(trees.late_s):.2f}"),
        ("whole tree ended, p50 s", f"{median(trees.ended_s):.2f}"),
    ]
    killed = job.kills >= deaths
    bars = [
        none_of("F3", "items lost or doubled, or money wrong", len(job.wrong), enough=killed),
        Bar("P13", "effects after a cancel, p99 s", late_s, "≤ 2", late_s <= 2),
        none_of("P13", "holds after the acknowledgement", trees.holds_after),
        none_of("P13", "sessions without one terminal event", len(trees.wrong)),
    ]
    report("chaos", seed, rows, bars)


def _count(wrong: Sequence[str], word: str) -> int:
    return sum(word in line for line in wrong)


if __name__ == "__main__":
    main()
