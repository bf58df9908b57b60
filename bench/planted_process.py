"""A gateway or worker with a bug on purpose: ``BENCH_PLANT`` names it, ``BENCH_MODULE`` is run."""

import os
import runpy

from bench.plants import PLANTS
from bursar.store.scripts.loader import Script

__all__: list[str] = []

_text = Script.text


def _planted(script: Script, *, shebang: bool) -> str:
    plant, text = PLANTS[os.environ["BENCH_PLANT"]], _text(script, shebang=shebang)
    return plant.apply(text) if script.name == plant.script else text


if __name__ == "__main__":
    # Before any script is named: its name is the hash of its text.
    Script.text = _planted  # type: ignore[method-assign, assignment]
    runpy.run_module(os.environ["BENCH_MODULE"], run_name="__main__", alter_sys=True)
