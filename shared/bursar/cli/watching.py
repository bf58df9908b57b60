"""Open questions as they come and go, for those who answer them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from bursar.client import ApprovalView, Client, ClientEvent
from bursar.errors import GatewayUnreachable, NotFound, StoreUnavailable

__all__ = ["QuestionChange", "watch_questions"]

_PAUSE_S = 2.0
_LOST = frozenset({"gap", "reset"})


@dataclass(frozen=True)
class QuestionChange:
    """A question came up, or changed; it may be open or not."""

    view: ApprovalView


def watch_questions(client: Client, *, root: str = "") -> Iterator[QuestionChange]:
    """Yield the questions that are open, and from then on each change; it does not end.

    A gateway that goes away later is waited for.

    Args:
        root: only those of this session's tree.

    Raises:
        GatewayUnreachable: it is not there to begin with.

    """
    client.list_approvals(root=root or None)
    cursor = ""
    states: dict[str, str] = {}
    while True:
        stream = client.watch_approvals(root=root or None, after=cursor)
        try:
            for event in stream:
                for view in _views(client, event, root, states):
                    if states.get(view.id) != view.state:
                        yield QuestionChange(view)
                    if view.is_open:
                        states[view.id] = view.state
                    else:
                        states.pop(view.id, None)
                cursor = stream.cursor
        except (GatewayUnreachable, StoreUnavailable):
            time.sleep(_PAUSE_S)


def _views(
    client: Client, event: ClientEvent, root: str, states: dict[str, str]
) -> list[ApprovalView]:
    """The questions that an event is about, as they are now."""
    if event.kind in _LOST:
        found = client.list_approvals(root=root or None)
        gone = states.keys() - {view.id for view in found}
        return found + [client.get_approval(each) for each in gone]
    try:
        return [client.get_approval(str(event.data.get("approval", "")))]
    except NotFound:
        return []
