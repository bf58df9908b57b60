"""``make bench NAME=approvals``: what people were asked and what they said holds, come what may.

G1 a thousand open questions, then everything is killed, the server too. G2 calls that are not those
that were approved. G3 eight answers at once to each question. G4 from an answer to its call. Then
workers, gateways and the server are killed while people are asked and answer. The seed is printed;
give it again to repeat.
"""

import argparse
from pathlib import Path

import uvloop

from bench.approvals import changed, crashes, doubles, latency, lost, starts
from bench.parts import Found, Part, run_parts
from bench.report import Bar, median, none_of, percentile, seed_of, show_wrong

__all__ = ["main"]

_P50_MS, _P99_MS = 20, 2000


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.approvals", description=__doc__)
    parser.add_argument("--only", default="", help="parts, such as G1,G4,crashes")
    parser.add_argument("--questions", type=int, default=1000, help="of G1")
    parser.add_argument("--mutations", type=int, default=10_000, help="of G2, by the scripts")
    parser.add_argument("--sample", type=int, default=40, help="of G2, each kind by workers")
    parser.add_argument("--doubles", type=int, default=1000, help="questions of G3")
    parser.add_argument("--answers", type=int, default=300, help="of G4")
    parser.add_argument("--seconds", type=float, default=120, help="of crashes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed = seed_of(options.seed)
    parts: dict[str, Part] = {
        "G1": lambda folder: _lost(folder, options.questions, seed),
        "G2": lambda folder: _mutated(folder, options.mutations, options.sample, seed),
        "G3": lambda folder: _doubles(folder, options.doubles, seed),
        "G4": lambda folder: _latency(folder, options.answers, seed),
        "crashes": lambda folder: _crashes(folder, options.seconds, seed),
    }
    run_parts("approvals", parts, only=options.only, seed=seed)


def _lost(folder: Path, questions: int, seed: int) -> Found:
    found = uvloop.run(lost.run(folder, questions=questions, seed=seed))
    show_wrong(found.wrong)
    enough = found.asked >= questions
    wrong_runs = [*found.not_run, *found.twice, *found.stuck]
    against = [*found.denied_ran, *found.other_arguments]
    rows = [
        ("G1 questions open when all was killed", f"{found.asked:,}"),
        ("G1 sessions below others that asked, processes killed",
         f"{found.children}, {found.kills}"),
        ("G1 approved, with other arguments, denied",
         ", ".join(f"{found.answers[each]:,}" for each in ("approve", "edit", "deny"))),
    ]  # fmt: skip
    return rows, [
        none_of("G1", "questions and answers lost", len(found.lost), enough),
        none_of("G1", "approved calls that did not run once", len(wrong_runs), enough),
        none_of("G1", "calls that ran against an answer", len(against), enough),
        none_of("G1", "audit entries missing or doubled", len(found.records), enough),
    ]


def _mutated(folder: Path, mutations: int, sample: int, seed: int) -> Found:
    bulk = uvloop.run(starts.run_alone(mutations=mutations, seed=seed))
    real = uvloop.run(changed.run(folder, calls=sample, seed=seed))
    show_wrong([*bulk.executed, *bulk.refused, *real.executed, *real.wrong])
    tried = bulk.mutations + real.calls.total() - real.calls[changed.CONTROL]
    rows = [
        ("G2 mutations by the scripts, kinds", f"{bulk.mutations:,}, {len(bulk.tried)}"),
        ("G2 mutations before workers, kinds",
         f"{real.calls.total() - real.calls[changed.CONTROL]:,}, {len(real.calls) - 1}"),
        ("G2 calls beside them that ran as approved", f"{bulk.controls + real.controls:,}"),
    ]  # fmt: skip
    enough = tried >= mutations and bulk.controls > 0 and real.controls > 0
    return rows, [
        none_of("G2", "mutated calls executed", len(bulk.executed) + len(real.executed), enough),
        none_of("G2", "approved calls refused", len(bulk.refused) + len(real.wrong), enough),
    ]


def _doubles(folder: Path, questions: int, seed: int) -> Found:
    found = uvloop.run(doubles.run(folder, questions=questions, seed=seed))
    show_wrong(found.wrong)
    enough = found.questions >= questions
    rows = [
        ("G3 questions, answers", f"{found.questions:,}, {found.replies.total():,}"),
        ("G3 replies", ", ".join(f"{n:,} {code}" for code, n in found.replies.most_common())),
    ]
    return rows, [
        none_of("G3", "questions that took not exactly one answer", len(found.not_one), enough),
        none_of("G3", "later answers not told who and what", len(found.untold), enough),
        none_of("G3", "calls that did otherwise", len(found.other), enough),
    ]


def _latency(folder: Path, answers: int, seed: int) -> Found:
    (folder / "strict").mkdir()
    found = uvloop.run(latency.run(folder, answers=answers, seed=seed))
    strict = uvloop.run(latency.run(folder / "strict", answers=answers, seed=seed, strict=True))
    show_wrong([*found.wrong, *strict.wrong])
    every = [*found.alone_ms, *found.burst_ms]
    p50, p99 = median(found.alone_ms), percentile(every, 99)
    enough = len(every) == 2 * answers
    rows = [
        ("G4 answer → call, one at a time, p50, p99", _times(found.alone_ms)),
        ("G4 answer → call, twenty at once, p50, p99", _times(found.burst_ms)),
        ("G4 the same, strict, one at a time", _times(strict.alone_ms)),
        ("G4 the same, strict, twenty at once", _times(strict.burst_ms)),
    ]
    return rows, [
        Bar("G4", "answer → call, p50 ms", round(p50, 1), f"≤ {_P50_MS}",
            enough and p50 <= _P50_MS),
        Bar("G4", "answer → call, all, p99 ms", round(p99, 1), f"≤ {_P99_MS}",
            enough and p99 <= _P99_MS),
    ]  # fmt: skip


def _crashes(folder: Path, seconds: float, seed: int) -> Found:
    found = uvloop.run(crashes.run(folder, seconds=seconds, seed=seed))
    show_wrong(found.wrong)
    rows = [
        ("crashes: " + ", ".join(sorted(found.deeds)),
         ", ".join(str(found.deeds[each]) for each in sorted(found.deeds))),
        ("crashes: turns, questions", f"{found.turns:,}, {found.asked:,}"),
        ("crashes: approved, denied, said twice",
         ", ".join(f"{found.answers[each]:,}" for each in ("approve", "deny", "repeated"))),
        ("crashes: effects at_most_once, idempotent",
         f"{found.ran['at_most_once']:,}, {found.ran['idempotent']:,}"),
        ("crashes: outcomes shown as unknown", f"{found.findings.unknown:,}"),
    ]  # fmt: skip
    enough = found.asked > 0 and found.deeds["kill a worker"] > 0
    stuck = len(found.stuck) + len(found.refused)
    return rows, [
        none_of("crashes", "calls at_most_once that ran twice", found.twice, enough),
        none_of("crashes", "outcomes not shown", found.hidden, enough),
        none_of("crashes", "calls that ran unapproved", len(found.unapproved), enough),
        none_of("crashes", "turns stuck, answers not taken", stuck, enough),
        none_of("crashes", "audit entries missing or doubled", len(found.records), enough),
        none_of("crashes", "things wrong in all", len(found.wrong), enough),
    ]  # fmt: skip


def _times(found: list[float]) -> str:
    return f"{median(found):.1f} ms, {percentile(found, 99):.1f} ms"


if __name__ == "__main__":
    main()
