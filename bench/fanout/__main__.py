"""``make bench NAME=fanout``: many sub-agents, few workers, and everybody else's turns beside them.

``--only parents``: 1,000 parents that wait for 3 children each, on one worker with 10 slots.
``--only spawn``: what 32 children cost Redis. ``--only fairness``: a person's turn beside 10,000
queued children of another workspace.
"""

import argparse
from functools import partial
from pathlib import Path

from bench.fanout import fairness, parents, spawning
from bench.parts import Found, run_parts
from bench.report import Bar, median, percentile


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.fanout", description=__doc__)
    parser.add_argument("--only", default="", help="parents, spawn, fairness; with commas between")
    parser.add_argument("--parents", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=200, help="spawns of 32")
    parser.add_argument("--queued", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=200, help="of the person")
    parser.add_argument("--child-ms", type=int, default=1000)
    options = parser.parse_args()
    parts = {
        "parents": partial(_parents, options.parents),
        "spawn": partial(_spawn, options.rounds),
        "fairness": partial(_fairness, options.queued, options.turns, options.child_ms),
    }
    run_parts("fanout", parts, only=options.only, seed=0)


def _parents(count: int, folder: Path) -> Found:
    children = 3
    crowd = parents.measure(folder, parents=count, children=children)
    sessions = count * children
    cpu_ms = crowd.worker_cpu_s * 1000 / sessions
    rows = [
        ("parents and children", f"{count:,} and {sessions:,}"),
        ("seconds in all", f"{crowd.seconds:.1f}"),
        ("sessions driven at once, most", str(crowd.most_leases)),
        ("parents that waited at once, most", str(crowd.most_waiting)),
    ]
    lost = sessions - crowd.answered + count - crowd.ended
    waited = crowd.most_waiting > parents.SLOTS >= crowd.most_leases
    bars = [
        Bar("P8", "parents and children without an end", lost, "0", lost == 0),
        Bar("P8", "worker's CPU ms a child", round(cpu_ms, 2), "≤ 10", cpu_ms <= 10),
        Bar("P8", "waiting parents without a slot", crowd.most_waiting, "> 10 slots", waited),
    ]
    return rows, bars


def _spawn(rounds: int, folder: Path) -> Found:
    found = spawning.measure(folder, rounds=rounds)
    p50, p99 = round(median(found), 2), round(percentile(found, 99), 2)
    rows = [("spawn of 32 in Redis, p99 ms", f"{p99}")]
    return rows, [Bar("F1", "spawn of 32 in Redis, p50 ms", p50, "≤ 5", p50 <= 5)]


def _fairness(queued: int, turns: int, child_ms: int, folder: Path) -> Found:
    found = fairness.measure(folder, children=queued, turns=turns, child_ms=child_ms)
    idle, beside = median(found.idle_ms), median(found.beside_ms)
    rows = [
        ("a person's turn, idle, p50 ms", f"{idle:.1f}"),
        ("beside the crowd, p50 ms", f"{beside:.1f}"),
        ("beside the crowd, p99 ms", f"{percentile(found.beside_ms, 99):.1f}"),
        ("children queued all the while", f"{found.queued:,}"),
        ("children running", str(found.running)),
    ]
    ratio = round(beside / idle, 2)
    holds = ratio <= 3 and found.queued >= queued * 9 // 10
    return rows, [Bar("F2", "a person's turn beside 10,000 queued children", ratio, "≤ 3", holds)]


if __name__ == "__main__":
    main()
