"""A process that swaps folders and files for ways out, all the time; takes root and outside.

Names are exchanged in one call of the system, so that there is always something under each: a
folder or the symlink, a file or the pipe. All are swapped, the deepest first, and all swapped back.
"""

import ctypes
import itertools
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.boundary.world import DEPTH, FLIPPED

__all__ = ["Pair", "main", "pairs"]

_RENEW_EVERY = 200
_HERE, _SWAP = -100, 2  # AT_FDCWD; RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_system = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Pair:
    """``way_out`` is put in the place of ``name``; ``make`` makes it anew."""

    name: Path
    way_out: Path
    make: Callable[[], object]

    def exchange(self) -> None:
        """Swap the two; where the tools have deleted one, nothing happens."""
        name, other = os.fsencode(self.name), os.fsencode(self.way_out)
        if sys.platform == "darwin":
            _system.renamex_np(name, other, _SWAP)
        else:
            _system.renameat2(_HERE, name, _HERE, other, _SWAP)

    def renew(self) -> None:
        """Put back what the tools have replaced or deleted, while all is swapped back."""
        if not _is_plain(self.name):
            self.name.unlink(missing_ok=True)
            self.name.write_text("an ordinary text")
        self.way_out.unlink(missing_ok=True)
        self.make()


def pairs(root: Path, outside: Path) -> list[Pair]:
    """Return what is to be swapped, from the top down."""
    found: list[Pair] = []
    inner, outer = root / FLIPPED, outside / FLIPPED
    for number in range(DEPTH):
        folder = f"d{number}"
        for name in (folder, "leaf"):
            link = inner / f"{name}~link"
            found.append(Pair(inner / name, link, partial(link.symlink_to, outer / name)))
        hard, pipe = inner / "linked~hard", inner / "canary~pipe"
        found.append(Pair(inner / "linked", hard, partial(hard.hardlink_to, outside / "linked")))
        found.append(Pair(inner / "canary", pipe, partial(os.mkfifo, pipe)))
        inner, outer = inner / folder, outer / folder
    return found


def main() -> None:
    found = pairs(Path(sys.argv[1]), Path(sys.argv[2]))
    parent = os.getppid()
    for number in itertools.count():
        if number % _RENEW_EVERY == 0:
            for pair in found:
                pair.renew()
        if number == 0:
            print("ready", flush=True)
        # A path to a deeper name must not lead through a symlink, or the flipper itself got out.
        for pair in reversed(found):
            pair.exchange()
        for pair in found:
            pair.exchange()
        if os.getppid() != parent:
            return  # whoever started it is gone


def _is_plain(path: Path) -> bool:
    try:
        info = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(info.st_mode) or (stat.S_ISREG(info.st_mode) and info.st_nlink == 1)


if __name__ == "__main__":
    main()
