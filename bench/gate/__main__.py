"""``make bench NAME=gate``: what the gate costs, and that nothing passes it which has no right to.

G5 server time and round trips of a call that nobody is asked about, by each thing that lets it
through. G6 forged capabilities. G7 how long a right that was taken back is still used. Then
allowances for one call that many want at once.
"""

import argparse
from pathlib import Path

import uvloop

from bench.gate import cost, revocation, takers
from bench.gate.forgeries import try_forgeries
from bench.parts import Found, Part, run_parts
from bench.report import Bar, median, none_of, percentile, seed_of, show_wrong

__all__ = ["main"]

_COST_US, _DELAY_MS = 150, 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.gate", description=__doc__)
    parser.add_argument("--only", default="", help="parts, such as G5,takers")
    parser.add_argument("--rounds", type=int, default=15, help="of G5")
    parser.add_argument("--steps", type=int, default=10, help="of 32 calls, in each round of G5")
    parser.add_argument("--tokens", type=int, default=100_000, help="of G6")
    parser.add_argument("--revocations", type=int, default=10, help="of each kind, G7")
    parser.add_argument("--takes", type=int, default=1000, help="rounds of takers, by the scripts")
    parser.add_argument("--worker-takes", type=int, default=30, help="rounds of takers, by workers")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed = seed_of(options.seed)
    parts: dict[str, Part] = {
        "G5": lambda _: _cost(options.rounds, options.steps),
        "G6": lambda _: _tokens(options.tokens, seed),
        "G7": lambda folder: _revocation(folder, options.revocations, seed),
        "takers": lambda folder: _takers(folder, options.takes, options.worker_takes, seed),
    }
    run_parts("gate", parts, only=options.only, seed=seed)


def _cost(rounds: int, steps: int) -> Found:
    rows, bars = list[tuple[str, str]](), list[Bar]()
    for name, case in cost.CASES.items():
        found = uvloop.run(cost.measure(case, rounds=rounds, steps=steps))
        # What disturbs a server only adds to its times.
        used_us = percentile(found.used_us, 25)
        trips = found.commands / found.calls
        keys = f", {found.key_reads} looks at keys" if case.reads_keys else ""
        rows.append((f"G5 {name}: server time p50", f"{median(found.used_us):.1f} µs"))
        rows.append((f"G5 {name}: CPU of the worker p50", f"{median(found.cpu_us):.0f} µs{keys}"))
        bars.append(
            Bar("G5", f"{name}, server time p25 µs", round(used_us, 1), f"≤ {_COST_US}",
                used_us <= _COST_US)
        )  # fmt: skip
        bars.append(Bar("G5", f"{name}, round trips a call", trips, "1", trips == 1))
    return rows, bars


def _tokens(count: int, seed: int) -> Found:
    refused = try_forgeries(count, seed=seed)
    show_wrong(refused.accepted)
    rows = [(f"G6 refused as {code}", f"{n:,}") for code, n in refused.codes.most_common()]
    enough = refused.codes.total() + len(refused.accepted) >= count
    return rows, [
        none_of("G6", f"forged tokens accepted, of {count:,}", len(refused.accepted), enough)
    ]


def _revocation(folder: Path, rounds: int, seed: int) -> Found:
    found = uvloop.run(revocation.run(folder, rounds=rounds, seed=seed))
    show_wrong(found.wrong)
    rows = [
        (f"G7 {kind}: revoked → last call, longest of {len(delays)}", f"{max(delays):.0f} ms")
        for kind, delays in found.delays_ms.items()
    ]
    rows.append(("G7 calls that were made", f"{found.calls:,}"))
    longest = max(delay for delays in found.delays_ms.values() for delay in delays)
    return rows, [
        Bar("G7", "revoked → last call, longest ms", round(longest), f"≤ {_DELAY_MS}",
            longest <= _DELAY_MS),
        none_of("G7", "turns stuck", len(found.wrong), found.calls > 0),
    ]  # fmt: skip


def _takers(folder: Path, rounds: int, worker_rounds: int, seed: int) -> Found:
    scripts = uvloop.run(takers.by_scripts(rounds=rounds, seed=seed))
    workers = uvloop.run(takers.by_workers(folder, rounds=worker_rounds, seed=seed))
    show_wrong([*scripts.wrong, *workers.wrong])
    rows = [
        ("takers: rounds by the scripts, by eight workers", f"{scripts.rounds}, {workers.rounds}"),
        ("takers: those that were first, by order of asking",
         ", ".join(str(scripts.taken[at]) for at in sorted(scripts.taken))),
    ]  # fmt: skip
    enough = (scripts.rounds, workers.rounds) == (rounds, worker_rounds)
    return rows, [
        none_of(
            "takers",
            "rounds by scripts with another number of uses",
            len(scripts.wrong),
            enough,
        ),
        none_of(
            "takers",
            "rounds by workers with another number of uses",
            len(workers.wrong),
            enough,
        ),
    ]


if __name__ == "__main__":
    main()
