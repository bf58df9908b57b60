"""The tool calls of one step and how far each has come.

A call's state stands in the session's effects: ``intent`` (asked for), ``waiting <question>``
(people were asked), ``sent`` (its effect may have happened), ``children <join>`` (sub-agents work
on it), ``done`` (its result is stored). After a crash the next owner reads these.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bursar.clock import wall_ms
from bursar.events import Span
from bursar.gate.requests import Use
from bursar.messages import AssistantMessage, ToolCall, ToolMessage
from bursar.store.codec import decode_message, text

__all__ = ["DONE", "INTENT", "SENT", "UNKNOWN", "OpenCalls", "Outcome", "intents", "result_message"]

INTENT, SENT, DONE = "intent", "sent", "done"
_WAITING = "waiting "
_CHILDREN = "children "
_UNKNOWN = (
    "This call was interrupted after it had begun. Whether it took effect is unknown, and it was "
    "not repeated. Find out before you try again."
)
_STOPPED = "Not run: the turn was stopped first."
_CUT_SHORT = "The turn was stopped before its sub-agents had ended."


@dataclass(frozen=True)
class Outcome:
    """What a call came to. ``record`` is the audit entry of a decision that it rests on, if any."""

    output: str
    is_error: bool = False
    unknown: bool = False
    record: bytes = b""


UNKNOWN = Outcome(_UNKNOWN, is_error=True, unknown=True)


def intents(calls: tuple[ToolCall, ...]) -> dict[str, str | bytes]:
    """The effects that are committed together with an answer that asks for these calls."""
    return {f"call:{call.id}": INTENT for call in calls}


class OpenCalls:
    """The calls of a step that is not closed, with the states that Redis holds."""

    def __init__(self, calls: tuple[ToolCall, ...], effects: Mapping[str, bytes]) -> None:
        self.calls = calls
        self.states = {call.id: text(effects.get(f"call:{call.id}", INTENT)) for call in calls}
        self._served = {call.id: text(effects.get(f"proof:{call.id}")) for call in calls}
        self.results: dict[str, ToolMessage] = {}
        for call in calls:
            stored = effects.get(f"result:{call.id}")
            message = decode_message(stored) if stored else None
            if isinstance(message, ToolMessage):
                self.results[call.id] = message

    @classmethod
    def of(cls, answer: AssistantMessage, effects: Mapping[str, bytes]) -> "OpenCalls":
        return cls(answer.tool_calls, effects)

    def question(self, call_id: str) -> str:
        """Id of the question that a call waits for, or nothing."""
        state = self.states[call_id]
        return state.removeprefix(_WAITING) if state.startswith(_WAITING) else ""

    def waits(self, call_id: str, question: str) -> None:
        self.states[call_id] = _WAITING + question

    def join(self, call_id: str) -> str:
        """Id of the join of the sub-agents that a call waits for, or nothing."""
        state = self.states[call_id]
        return state.removeprefix(_CHILDREN) if state.startswith(_CHILDREN) else ""

    def joins(self, call_id: str, join: str) -> None:
        self.states[call_id] = _CHILDREN + join

    @property
    def open_joins(self) -> int:
        """How many calls without a result wait for sub-agents."""
        return sum(bool(self.join(call.id)) for call in self.calls if call.id not in self.results)

    @property
    def questions(self) -> list[str]:
        """Ids of all questions that calls without a result wait for."""
        found = [self.question(call.id) for call in self.calls if call.id not in self.results]
        return list(filter(None, found))

    def served_by(self, call_id: str) -> Use | None:
        """What a call that was sent before a crash rested on; it is not used up once more."""
        kind, _, rest = self._served[call_id].partition(" ")
        used, _, root = rest.partition(" ")
        if kind == "allowance":
            return Use("allowance", used, (used, "", root), root)
        return Use("approval", used) if kind == "approval" else None

    def fields(self) -> list[str]:
        """Effect fields that the close of the step drops."""
        kinds = ("call", "result", "proof")
        return [f"{kind}:{call.id}" for call in self.calls for kind in kinds]

    def messages(self, span: Span) -> list[ToolMessage]:
        """A result for every call, in call order; those that never ended say why."""
        found = []
        for call in self.calls:
            if call.id in self.results:
                found.append(self.results[call.id])
                continue
            begun = self.states[call.id] in {SENT, DONE}
            stopped = _CUT_SHORT if self.join(call.id) else _STOPPED
            outcome = UNKNOWN if begun else Outcome(stopped, is_error=True)
            found.append(result_message(call, outcome, span))
        return found


def result_message(call: ToolCall, outcome: Outcome, span: Span) -> ToolMessage:
    return ToolMessage(
        call_id=call.id,
        name=call.name,
        output=outcome.output,
        is_error=outcome.is_error,
        unknown=outcome.unknown,
        turn=span.turn,
        step=span.step,
        at_ms=wall_ms(),
    )
