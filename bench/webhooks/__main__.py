"""Do webhooks arrive, whoever dies and however endpoints answer?

Events of several workspaces go to two endpoints each. Of the answers 30 % are 500 and 10 % never
come. Three gateways deliver; one after the other is killed as a crash would, and started again.
What the endpoints took is compared with what happened, each message is verified by the library, and
its id has to be the same in every try.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from bench.report import none_of, report, seed_of
from bench.webhooks.run import deliver


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed = seed_of(options.seed)
    with tempfile.TemporaryDirectory(prefix="bursar-webhooks-") as folder:
        result = asyncio.run(
            deliver(Path(folder), events=options.events, kills=options.kills, seed=seed)
        )
    for what, found in (
        ("lost", result.lost),
        ("renamed", result.renamed),
        ("not verified", result.forged),
        ("left", result.left),
    ):
        for line in found[:20]:
            print(f"{what}: {line}")
    report(
        "webhooks",
        seed,
        [
            ("events, messages", f"{options.events:,}, {result.expected:,}"),
            ("tries", f"{result.tries:,}"),
            ("gateways killed, with a message in hand", f"{result.kills}, {result.at_point}"),
            ("messages taken more than once", f"{result.twice:,}"),
            ("took", f"{result.took_s:.0f} s"),
        ],
        [
            none_of("P18", "messages lost", len(result.lost)),
            none_of("P18", "messages under more than one id", len(result.renamed)),
            none_of("P18", "signatures that do not verify", len(result.forged)),
            none_of("P18", "lines that are not empty in the end", len(result.left)),
        ],
    )


if __name__ == "__main__":
    main()
