"""What the tutorial needs to know of the installation it runs on."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Tutorial"]


@dataclass(frozen=True)
class Tutorial:
    url: str
    key: str
    files: Path
