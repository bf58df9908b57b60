"""A model's answer, and the call that it cost, on their way into the books."""

from dataclasses import dataclass

from bursar.audit.entries import Record
from bursar.events import Event, Span
from bursar.messages import AssistantMessage
from bursar.store.scripts.budgets import HoldRef
from bursar.store.scripts.turns import Commit
from bursar_worker.scope import Scope

__all__ = ["Answer", "call_record"]


@dataclass(frozen=True)
class Answer:
    """A whole answer that is not committed yet."""

    message: AssistantMessage
    hold: HoldRef
    cost_microusd: int
    events: list[Event]
    record: Record

    def commit(self, span: Span, effects: dict[str, str | bytes]) -> Commit:
        usage = self.message.usage
        return Commit(
            messages=[self.message],
            effects=effects,
            steps=1,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            token_count=usage.total_tokens,
            hold=self.hold,
            actual_microusd=self.cost_microusd,
            actual_tokens=usage.total_tokens,
            warning=span.event("budget.warning").body,
            records=[self.record.body],
        )


def call_record(
    scope: Scope, span: Span, model_name: str, outcome: str, cost_microusd: int
) -> Record:
    """The audit entry about a model call; one without an answer cost what was held for it."""
    return Record(
        workspace=scope.session.workspace.id,
        actor=f"agent:{scope.agent.name}",
        action=f"model://{model_name}",
        decision="done",
        session=span.session,
        turn=span.turn,
        cost_microusd=cost_microusd,
        outcome=outcome,
    )
