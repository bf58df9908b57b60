"""Running a ``bursar`` command in a test."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Bursar", "Ran"]


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str


Bursar = Callable[..., Ran]
