"""``make bench NAME=overspend``: eight processes spend from one purse and are killed.

Debits are reserve and commit over up to five accounts, with limits on every level that bind. At the
end each client's journal is held against the ledger, and the ledger against the accounts. With
``--lost-replies 30`` a proxy swallows that share of the replies and cuts sockets, and every call is
sent one to three times. The seed is printed; give it again to repeat.
"""

import argparse
import tempfile
from pathlib import Path

import uvloop

from bench.overspend.run import Outcome, run
from bench.report import Bar, none_of, report, seed_of, show_wrong

__all__ = ["main"]

_DEBITS, _DEBITS_LOSSY = 10**6, 10**5


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.overspend", description=__doc__)
    parser.add_argument("--debits", type=int, default=0, help="10^6, with lost replies 10^5")
    parser.add_argument("--kills", type=int, default=-1, help="200, with lost replies 20")
    parser.add_argument("--lost-replies", type=float, default=0, metavar="PERCENT")
    parser.add_argument("--planted", action="store_true", help="with a bug, to see it found")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed = seed_of(options.seed)
    lossy = options.lost_replies > 0
    kills = options.kills if options.kills >= 0 else (20 if lossy else 200)
    with tempfile.TemporaryDirectory(prefix="bursar-overspend-") as folder:
        outcome = uvloop.run(
            run(
                Path(folder),
                debits=options.debits or (_DEBITS_LOSSY if lossy else _DEBITS),
                kills=kills,
                seed=seed,
                lost_replies=options.lost_replies / 100,
                planted=options.planted,
            )
        )
    _show(outcome, seed, lossy=lossy)


def _show(outcome: Outcome, seed: int, *, lossy: bool) -> None:
    found = outcome.findings
    show_wrong(found.wrong)
    rows = [
        ("debits", f"{found.debits:,} in {outcome.took_s:.0f} s"),
        ("debits/s", f"{found.debits / outcome.took_s:,.0f}"),
        ("let through", f"{found.fit:.1%}"),
        ("limits reached", " ".join(found.reached)),
        ("clients killed", str(outcome.kills)),
        *((f"answered: {name.lower()}", f"{n:,}") for name, n in sorted(found.outcomes.items())),
        *((f"ledger: {op}", f"{n:,}") for op, n in sorted(found.ended.items())),
        ("looks at accounts meanwhile", f"{outcome.looks:,}"),
    ]
    if lossy:
        tally = outcome.tally
        rows += [
            ("faults of the network", f"{outcome.faults:,}"),
            ("calls sent, and without an answer", f"{tally.tries:,}, {tally.unanswered:,}"),
            ("holds of calls that were refused later", f"{found.late:,}"),
        ]
    overspent = len(found.overspent) + outcome.oversteps
    bars = [
        none_of("P1", "accounts overspent, at the end or seen so meanwhile", overspent),
        none_of("P1", "acknowledged debits lost", len(found.lost)),
        none_of("P2", "debits doubled", len(found.doubled)),
        none_of("P1", "holds left after their time", len(found.left)),
        none_of("P1", "sums of ledger, accounts and turns that differ", len(found.unequal)),
        none_of("P2", f"of {found.probes:,} ids used again, no conflict", found.conflicts_missed),
    ]
    if lossy:
        share = outcome.tally.unanswered / max(1, outcome.tally.tries)
        bars.append(
            Bar("P2", "share of calls without an answer", round(share, 2), "≥ 0.3", share >= 0.3)
        )
    report("overspend", seed, rows, bars)


if __name__ == "__main__":
    main()
