"""How a turn's work ends, and how its drive goes on from there."""

import enum
from dataclasses import dataclass

__all__ = ["Ending", "Stopped", "Verdict"]


class Ending(enum.Enum):
    """How a drive goes on after a turn."""

    MORE = "the inbox holds more, the lease is still ours"
    REST = "nothing left, the lease was given back with the end"
    PARKED = "the turn waits, the lease was given back"
    RELEASE = "the turn is to be gone on with by another worker"
    INJECTED = "none: an input joined the turn, which is to be dealt with first"
    CHILDREN = "none: sub-agents that it spawned have not ended"


class Stopped(Exception):
    """The work ended before the agent had answered; the turn's fields say why."""


@dataclass
class Verdict:
    outcome: str
    code: str = ""
    reason: str = ""
