"""What a job's session holds beyond any other: its inputs, how they are run, where they are."""

from typing import Any

import msgspec

from bursar.messages import UserMessage

__all__ = [
    "JOIN",
    "MAX_ITEMS",
    "OPTIONS",
    "Item",
    "JobOptions",
    "Slot",
    "id_field",
    "item_field",
    "slot_field",
    "spent_field",
    "tries_field",
]

JOIN = "job"
"""The join of a job's items; those of tool calls have a step's number before a dash."""
MAX_ITEMS = 10_000
OPTIONS = f"{JOIN}:options"


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One input as it is stored. ``custom`` is kept with it and given to tools, unread."""

    input: str
    custom: dict[str, Any] = {}

    def message(self) -> UserMessage:
        return UserMessage(self.input, custom=self.custom)


class JobOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """How each item of a job is run.

    Args:
        limit_microusd: what one may spend at most; 0 leaves it to the job's purse.
        timeout_s: how long one may work; 0 takes the setting.
        attempts: how often one that fails is run in all, before it stays failed.
        output: JSON Schema of the answers; empty for text.

    """

    limit_microusd: int = 0
    timeout_s: float = 0.0
    attempts: int = 1
    output: dict[str, Any] = {}
    description: str = ""


class Slot(msgspec.Struct, frozen=True):
    """Where an item is: its newest sub-agent, and how that ended; all empty before the first.

    ``outcome`` is ``waiting`` for one that is to be run again.
    """

    session: str = ""
    outcome: str = ""
    code: str = ""

    @classmethod
    def parse(cls, slot: str) -> "Slot":
        session, _, rest = slot.partition(" ")
        outcome, _, code = rest.partition(" ")
        return cls(session, outcome, code)

    @property
    def waits(self) -> bool:
        return not self.session or self.outcome == "waiting"

    @property
    def ended(self) -> bool:
        return bool(self.outcome) and not self.waits

    @property
    def may_try_again(self) -> bool:
        """Whether it failed by itself: what people stopped, or paid no more for, stays stopped.

        One that waits already is of a round whose beginning broke off.
        """
        if self.outcome == "waiting":
            return True
        if self.code == "budget_exhausted":
            return False
        return self.outcome in {"failed", "quarantined"} or self.code == "timed_out"


def slot_field(slot: int) -> str:
    return f"{JOIN}:{slot}"


def item_field(slot: int) -> str:
    return f"{JOIN}:item:{slot}"


def id_field(slot: int) -> str:
    return f"{JOIN}:id:{slot}"


def tries_field(slot: int) -> str:
    """How many sub-agents an item has had, from the second on."""
    return f"{JOIN}:tries:{slot}"


def spent_field(slot: int) -> str:
    """What those before the newest have spent, in micro-USD."""
    return f"{JOIN}:spent:{slot}"
