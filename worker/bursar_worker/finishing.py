"""The end of a turn, as it is put on record."""

from collections.abc import Sequence

from bursar.events import Event, Span
from bursar.store.codec import text
from bursar.store.scripts import turns as scripts
from bursar.store.scripts.above import Above
from bursar.store.scripts.sessions import ended_record, index_keys
from bursar.store.scripts.turns import Commit, Finished
from bursar_worker.ending import Verdict
from bursar_worker.scope import Scope

__all__ = ["finish_turn", "verdict_of_cancel"]


async def finish_turn(
    scope: Scope, span: Span, verdict: Verdict, commit: Commit, events: Sequence[Event]
) -> Finished:
    """End a turn with what is left to commit; the terminal event comes after ``events``."""
    fields, session = scope.fields, scope.session
    above = Above.of(
        fields.get("parent", ""), fields.get("parent_turn", ""), fields.get("join", "")
    )
    kind = f"turn.{verdict.outcome}"
    terminal = span.event(kind, code=verdict.code, reason=verdict.reason)
    return await scope.writer.write(
        lambda: scripts.finish(
            scope.store,
            scope.lease,
            span.turn,
            outcome=verdict.outcome,
            code=verdict.code,
            reason=verdict.reason,
            index_keys=index_keys(session, fields["user"], fields["workspace_path"]),
            commit=commit,
            events=[*events, terminal],
            ended_event=Span(session.id).event("session.ended").body,
            ended_audit=ended_record(session),
            above=above,
            keeps_joins=fields.get("job") == "1",
        )
    )


async def verdict_of_cancel(scope: Scope, turn: str) -> Verdict:
    """Return how a turn ends that is to be cancelled, in the words of whoever asked for it."""
    key = scope.session.workspace.turn(turn)
    code, reason = map(text, await scope.writer.read("HMGET", key, "cancel_code", "cancel_reason"))
    return Verdict("cancelled", code or "cancelled", reason or "cancelled while it ran")
