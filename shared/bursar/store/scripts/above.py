"""The turn above a sub-agent: who is told, in the same script, that its turn has ended."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.events import Span
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.scripts.leases import Ring

__all__ = ["Above", "Told", "told_of"]


class Above(msgspec.Struct, frozen=True):
    """What a session's record says of the turn that spawned it. Empty for a session of its own."""

    parent: str = ""
    turn: str = ""
    join: str = ""
    slot: str = ""

    @classmethod
    def of(cls, parent: str, turn: str, join: str) -> "Above":
        """From the fields ``parent``, ``parent_turn`` and ``join``."""
        name, _, slot = join.partition(" ")
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


class Told(msgspec.Struct, frozen=True):
    """How somebody is to be told of news in a session; `bursar.queue.Bells.tell` takes these."""

    ring: Ring
    outcome: str
    worker: str = ""


def told_of(session: SessionKeys, parent: str, reply: Sequence[Any]) -> Told | None:
    """Read how the session above is told: ``outcome worker agent priority epoch inbox_seq``."""
    if len(reply) < 6 or text(reply[0]) == "none":
        return None
    outcome, worker, agent, priority = map(text, reply[:4])
    above = session.workspace.session(parent)
    return Told(Ring(above, agent, priority, int(reply[4]), int(reply[5])), outcome, worker)
