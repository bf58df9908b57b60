"""Turns: one input worked off to an end, as programs read it."""

import msgspec

from bursar.errors import NotFound
from bursar.events import TERMINAL, LoggedEvent, Span
from bursar.ids import check_id, check_workspace
from bursar.messages import AssistantMessage
from bursar.store.codec import decode_message, text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store

__all__ = ["ENDED", "TurnView", "derived_terminal", "get"]

ENDED = frozenset({"succeeded", "failed", "cancelled", "quarantined"})


class TurnView(msgspec.Struct, frozen=True):
    """A turn. ``output`` is the agent's last text once the turn has ended.

    ``code`` and ``reason`` say why it did not succeed.
    """

    id: str
    session: str
    state: str
    created_ms: int
    started_ms: int = 0
    ended_ms: int = 0
    steps: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int = 0
    waiting_for: str = ""
    code: str = ""
    reason: str = ""
    output: str = ""


async def get(store: Store, workspace: str, tid: str) -> TurnView:
    ws = store.workspace(check_workspace(workspace))
    fields = await store.redis.call("HGETALL", ws.turn(check_id(tid, "turn")))
    if not fields:
        raise NotFound("no such turn in this workspace", code="turn_not_found")
    values = {text(field): text(value) for field, value in fields.items() if not _is_payload(field)}
    if values["state"] in ENDED and "last_message" in values:
        values["output"] = await _output(store, ws.session(values["session"]), tid, values)
    return msgspec.convert(values, TurnView, strict=False)


def _is_payload(field: bytes) -> bool:
    """Whether a field of the turn's record holds an encoded input."""
    return field == b"input" or field.startswith(b"injected:")


async def _output(store: Store, session: SessionKeys, tid: str, values: dict[str, str]) -> str:
    raw = await store.redis.call("LINDEX", session.messages, int(values["last_message"]))
    message = decode_message(raw) if raw else None
    if isinstance(message, AssistantMessage) and message.turn == tid:
        return message.text
    return ""


async def derived_terminal(store: Store, workspace: str, tid: str) -> LoggedEvent | None:
    """The terminal event of an ended turn, made from its state: for logs that no longer hold it.

    Its seq is 0, which no logged event has.
    """
    turn = await get(store, workspace, tid)
    if turn.state not in ENDED:
        return None
    event = Span(turn.session, tid).event(
        f"turn.{turn.state}", code=turn.code, reason=turn.reason, seq=0, at_ms=turn.ended_ms
    )
    assert event.kind in TERMINAL  # noqa: S101
    return LoggedEvent(0, event.kind, event.body)
