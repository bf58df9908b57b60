"""A call that was put off, and approved when its turn had gone on: it runs in a turn of its own.

The turn's input says that the answer came. Its first act is the call, and the call's result is a
message to the agent, because no answer of the model asks for it any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bursar.clock import wall_ms
from bursar.events import Span
from bursar.gate.approvals import list_of
from bursar.messages import ToolCall, UserMessage
from bursar.store.scripts import turns as scripts
from bursar.store.scripts.turns import Commit
from bursar_worker.calls import OpenCalls
from bursar_worker.scope import Scope

__all__ = ["DeferredCall"]


@dataclass(frozen=True)
class DeferredCall:
    """``calls`` has the one call."""

    calls: OpenCalls

    @classmethod
    async def load(
        cls, scope: Scope, question: str, effects: Mapping[str, bytes]
    ) -> "DeferredCall | None":
        """Read the call of a question; None if that is gone.

        The turn's record names the question until the result is in the history.
        """
        found = await list_of(scope.store, scope.session.workspace, [question])
        if not found:
            return None
        record = found[0]
        call = ToolCall(record.call, record.tool, record.arguments)
        if f"call:{call.id}" in effects or record.state != "approved":
            return cls(OpenCalls((call,), effects))
        return cls(OpenCalls((call,), {f"call:{call.id}": f"waiting {question}".encode()}))

    async def begin(self, scope: Scope, turn: str) -> None:
        """Put the call among the session's open effects; again, it changes nothing."""
        effects: dict[str, str | bytes] = {
            f"call:{call.id}": self.calls.states[call.id] for call in self.calls.calls
        }
        commit = Commit(effects=effects)
        await scope.writer.write(
            lambda: scripts.commit_step(scope.store, scope.lease, turn, commit, [])
        )

    def messages(self, span: Span) -> list[UserMessage]:
        """The result, as it is told to the agent."""
        return [
            UserMessage(
                f"Result of the call `{result.name}` that was deferred:\n{result.output}",
                turn=span.turn,
                at_ms=wall_ms(),
            )
            for result in self.calls.messages(span)
        ]
