"""What a client reads of session trees; see `bursar.client.views`."""

import msgspec

__all__ = ["Purse", "TreeNode", "TreeTotals", "TreeView"]


class Purse(msgspec.Struct, frozen=True):
    """What a session and all below it have spent and hold. ``limit_microusd`` None: no limit."""

    limit_microusd: int | None = None
    posted_microusd: int = 0
    pending_microusd: int = 0


class TreeNode(msgspec.Struct, frozen=True):
    """A session of a tree. Times are Unix milliseconds by Redis's clock.

    ``turn`` is the one that it works on, or the only one that a sub-agent has, also when that has
    ended; the fields from ``turn_state`` to ``code`` are that turn's. ``duration_ms`` counts to the
    end of a sub-agent's turn, else until now.
    """

    id: str
    parent: str
    depth: int
    agent: str
    title: str
    state: str
    turn: str = ""
    turn_state: str = ""
    waiting_for: str = ""
    code: str = ""
    purse: Purse = Purse()
    steps: int = 0
    created_ms: int = 0
    duration_ms: int = 0


class TreeTotals(msgspec.Struct, frozen=True):
    """Of the session and all below it. ``states`` counts sessions; ``cost_microusd`` was posted."""

    sessions: int
    states: dict[str, int]
    steps: int = 0
    cost_microusd: int = 0
    pending_microusd: int = 0


class TreeView(msgspec.Struct, frozen=True):
    """A session with what is below it, in the order in which they were opened.

    ``purse`` is that of the tree's root, from which all of them spend. ``totals`` comes with the
    first page. ``cursor`` continues the list; empty at its end.
    """

    root: str
    purse: Purse
    nodes: list[TreeNode]
    totals: TreeTotals | None = None
    cursor: str = ""
