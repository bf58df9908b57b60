"""Sub-agents below a played turn: opened by the script that workers use, and played themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

from bursar.events import LoggedEvent, Span, read_log
from bursar.messages import UserMessage
from bursar.sessions import locate
from bursar.store.codec import encode_message
from bursar.store.keys import SessionKeys, TreeKeys
from bursar.store.scripts import children
from bursar.store.scripts.children import NewChild, Spawn
from bursar.store.store import Store
from support.gateway import PlayedTurn, begin_turn

__all__ = ["Child", "finish_child", "spawn", "tree_log"]


@dataclass(frozen=True)
class Child:
    sid: str
    turn: str


async def spawn(
    store: Store, played: PlayedTurn, names: Sequence[str], *, detached: bool = False
) -> list[Child]:
    """Open sub-agents of agent ``echo`` for the turn; the names are the last parts of their ids."""
    parent = played.lease.session
    new = [_child(parent, played.turn, name, slot) for slot, name in enumerate(names)]
    wish = Spawn(
        turn=played.turn,
        call="",
        join="" if detached else f"j{names[0]}",
        total=len(new),
        need=len(new),
        window=len(new),
        children=new,
        detached=detached,
    )
    await children.spawn(store, played.lease, wish, user="ann", workspace_path="")
    return [Child(child.session.id, child.turn) for child in new]


def _child(parent: SessionKeys, turn: str, name: str, slot: int) -> NewChild:
    session = parent.workspace.session(f"{parent.root}~{name}")
    fields = {
        "ws": parent.workspace.id,
        "user": "ann",
        "agent": "echo",
        "model": "",
        "parent": parent.id,
        "workspace_path": "",
        "priority": "background",
        "title": f"about {name}",
        "tags": "",
        "schema_version": 1,
    }
    spawned = Span(parent.id, turn, 1, 1).event(
        "child.spawned",
        child=session.id,
        child_turn=f"trn_{name}",
        agent="echo",
        description=f"about {name}",
        slot=slot,
    )
    return NewChild(
        session=session,
        turn=f"trn_{name}",
        slot=slot,
        input=encode_message(UserMessage("go", turn=f"trn_{name}")),
        time_ms=60_000,
        limit_microusd=100_000,
        per_action_microusd=10_000,
        no_worker=False,
        fields=fields,
        texts={},
        spawned=spawned.body,
    )


async def finish_child(
    store: Store, child: Child, *texts: str, outcome: str = "succeeded"
) -> PlayedTurn:
    """Play a sub-agent's one turn to its end, of which the turn above is told."""
    played = await begin_turn(store, "acme", child.sid)
    if texts:
        await played.say(*texts)
    await played.finish(outcome=outcome)
    return played


async def tree_log(store: Store, sid: str) -> list[LoggedEvent]:
    """All that the log of a session's tree holds."""
    return await read_log(store, TreeKeys(locate(store, "acme", sid)), after=0, limit=10_000)
