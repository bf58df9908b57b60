"""The turn above a sub-agent: who is told, in the same script, that its turn has ended."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.events import Span
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.scripts.leases import Told, read_told

__all__ = ["Above", "told_above"]


class Above(msgspec.Struct, frozen=True):
    """What a session's record says of the turn that spawned it. Empty for a session of its own."""

    parent: str = ""
    turn: str = ""
    join: str = ""
    slot: str = ""

    @classmethod
    def of(cls, parent: str, turn: str, join: str) -> "Above":
        """From the fields ``parent``, ``parent_turn`` and ``join``."""
        name, _, slot = join.rpartition(" ")
        return cls(parent, turn, name, slot) if name else cls()

    def keys(self, session: SessionKeys) -> list[str]:
        ws = session.workspace
        parent = ws.session(self.parent) if self.parent else session
        return [
            parent.hash,
            parent.events,
            parent.inbox,
            ws.turn(self.turn),
            parent.joins,
            ws.shard.ready,
        ]

    def args(self, session: SessionKeys, turn: str, outcome: str, code: str) -> list[Any]:
        parent = session.workspace.session(self.parent)
        event = Span(self.parent, self.turn).event(
            "child.finished", child=session.id, child_turn=turn, outcome=outcome, code=code
        )
        return [self.join, self.slot, parent.ref if self.join else "", self.turn, event.body]


def told_above(session: SessionKeys, parent: str, reply: Sequence[Any]) -> Told | None:
    """Read how the session above is told. None: it has nothing to do now, or there is none."""
    if len(reply) < 6 or text(reply[0]) == "none":
        return None
    return read_told(session.workspace.session(parent), reply)
