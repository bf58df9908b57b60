"""A session's folder, a twin beside it that must stay untouched, and all ways from one to other."""

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DEPTH", "FLIPPED", "World"]

DEPTH = 4
FLIPPED = "flip"
"""The folder that the flipper works on; there is one of the same shape outside."""


@dataclass(frozen=True)
class World:
    """``secret`` stands in the texts and in one file name outside, and nowhere else."""

    base: Path
    secret: str

    @classmethod
    def build(cls, base: Path) -> "World":
        world = cls(base, secrets.token_hex(16))
        world.repair()
        return world

    @property
    def root(self) -> Path:
        return self.base / "ws"

    @property
    def outside(self) -> Path:
        return self.base / "ws-evil"

    def repair(self) -> None:
        """Make everything as it was meant to be."""
        for place in (self.root, self.outside):
            shutil.rmtree(place, ignore_errors=True)
        self._furnish(self.outside, f"the canary {self.secret}")
        (self.outside / self.secret).write_text("a name to be listed")
        (self.outside / "linked").write_text("a second name for this lies inside")
        self._furnish(self.root, "an ordinary text")
        for folder in (self.root, *(self.root / self.deep(depth) for depth in range(1, DEPTH + 1))):
            (folder / "out").symlink_to(self.outside)
            up = "/".join([".."] * (len(folder.relative_to(self.root).parts) + 1))
            (folder / "out_relative").symlink_to(f"{up}/{self.outside.name}")
            (folder / "canary_link").symlink_to(self.outside / "canary")
            (folder / "new_link").symlink_to(self.outside / "not_there_yet")
            (folder / "hard").hardlink_to(self.outside / "linked")
            (folder / "loop").symlink_to("loop")
            os.mkfifo(folder / "pipe")

    @staticmethod
    def deep(depth: int) -> str:
        return "/".join(f"d{number}" for number in range(depth))

    @staticmethod
    def _furnish(place: Path, text: str) -> None:
        for top in (place, place / FLIPPED):
            folder = top
            for number in range(DEPTH + 1):
                folder.mkdir(parents=True, exist_ok=True)
                for name in ("canary", "leaf"):
                    (folder / name).write_text(text)
                folder = folder / f"d{number}"

    def state(self) -> dict[str, tuple[int, int, int]]:
        """Return what is outside: each name with its inode, size and time of change."""
        found: dict[str, tuple[int, int, int]] = {}
        for folder, _, files in os.walk(self.outside):
            for path in (folder, *(f"{folder}/{name}" for name in files)):
                info = os.lstat(path)
                found[path] = (info.st_ino, info.st_size, info.st_mtime_ns)
        return found
