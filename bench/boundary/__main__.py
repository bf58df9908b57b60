"""Does anything get out of a workspace folder?

The workspace tools get a hundred thousand hostile paths, then names that another process swaps for
symlinks, hard links and pipes all the time; the gate gets calls with hostile paths somewhere in
their arguments. Nothing outside may be read or changed. Two planted tools show that it would be
noticed.
"""

import argparse
import os
import random
import tempfile
from pathlib import Path

from bench.boundary.run import Findings, ask_gate, attack, race
from bench.boundary.subjects import Checked, TextOnly, Tools
from bench.boundary.world import World
from bench.report import Bar, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    rng = random.Random(options.seed)
    # In memory if there is such a place: a disk that makes writes last leaves few acts to race.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="bursar-bench-", dir=memory) as base:
        world = World.build(Path(base).resolve())
        print(f"{options.paths:,} hostile paths …", flush=True)
        hostile = attack(Tools(world), world, rng, options.paths)
        through = ask_gate(world, rng, options.paths // 10)
        print(f"{options.seconds:g} s against the flipper …", flush=True)
        raced = race(Tools(world), world, rng, options.seconds)
        planted = (
            attack(TextOnly(world), world, rng, 2000),
            race(Checked(world), world, rng, 10),
        )
    _print_all("hostile path", hostile)
    _print_all("flipper", raced)
    for call in through:
        print(f"let through by the gate: {call}")
    escapes = len(hostile.escapes) + len(raced.escapes) + len(through)
    crashes = len(hostile.crashes) + len(raced.crashes)
    rows = [
        (f"acts with {options.paths:,} hostile paths", f"{hostile.total:,}"),
        ("of them refused", f"{_count(hostile, 'refused'):,}"),
        (f"acts in {options.seconds:g} s against the flipper", f"{raced.total:,}"),
        ("of them refused", f"{_count(raced, 'refused'):,}"),
        ("calls before the gate", f"{options.paths // 10:,}"),
        ("escapes of planted tools: text only, checked first",
         ", ".join(str(len(findings.escapes)) for findings in planted)),
    ]  # fmt: skip
    caught = sum(bool(findings.escapes) for findings in planted)
    report(
        "boundary",
        options.seed,
        rows,
        [
            Bar("G8", "escapes", escapes, "0", escapes == 0),
            Bar("G8", "errors that are no refusals", crashes, "0", crashes == 0),
            Bar("G8", "planted tools found out", caught, "2", caught == 2),
        ],
    )


def _count(findings: Findings, outcome: str) -> int:
    return sum(count for act, count in findings.acts.items() if act.endswith(outcome))


def _print_all(where: str, findings: Findings) -> None:
    for line in (*findings.escapes[:20], *findings.crashes[:20]):
        print(f"{where}: {line}")


if __name__ == "__main__":
    main()
