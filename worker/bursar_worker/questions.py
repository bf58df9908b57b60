"""What a drive does with questions to people: puts them, reads their answers, closes them."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from bursar.audit.entries import Record
from bursar.events import Span
from bursar.gate.approvals import ApprovalState, ApprovalView, list_of, priority_of, told_of
from bursar.gate.canonical import Canonical
from bursar.gate.closing import close
from bursar.gate.display import MAX_NAME, MAX_RESOURCE, readable
from bursar.gate.patterns import Action
from bursar.gate.pipeline import remedy_for, unanswered
from bursar.gate.requests import GateRequest, Verdict
from bursar.ids import new_id
from bursar.messages import ToolCall
from bursar.store.codec import encode_json, text_list
from bursar.store.scripts import tools
from bursar.store.scripts.tools import Asked
from bursar.tools import Tool, render_output
from bursar.tools.tool import Fallback
from bursar_worker.calls import Outcome
from bursar_worker.scope import Scope

__all__ = ["AwaitsAnswer", "News", "Questions", "close_all", "folder_of", "questions_of"]

_MAX_ASKED_OF = 500
_UNHEARD = {
    "timed_out": "nobody answered in time",
    "nobody_subscribed": "nobody was there to be asked",
    "unavailable": "the person who was asked cannot decide now",
    "aged_out": "nobody answered for a long time",
}
_DEFERRED = (
    "Deferred: `{tool}` needs approval, and {why}. The question stays open. If it is approved "
    "later, the call runs then and its result comes as a new message. Go on without it, and do not "
    "repeat the call."
)
logger = logging.getLogger(__name__)


class News:
    """Counts what came in about a turn's questions, so that none of it is slept through.

    Whoever looks at a question notes the count before; what was looked at under an older one has
    to be looked at again.
    """

    def __init__(self) -> None:
        self.count = 0
        self._came = asyncio.Event()

    def tell(self) -> None:
        self.count += 1
        self._came.set()

    async def beyond(self, count: int) -> None:
        """Wait until there is more than that."""
        while self.count <= count:
            self._came.clear()
            await self._came.wait()


class AwaitsAnswer(Exception):
    """Calls of the step wait for people or for sub-agents, and nothing else is left to do.

    Args:
        joins: how many calls wait for sub-agents.
        again_ms: after which to look again although nothing came in; 0 for never.

    """

    def __init__(self, questions: Sequence[str], joins: int = 0, again_ms: int = 0) -> None:
        super().__init__(f"waits for answers to {len(questions)} questions and {joins} tasks")
        self.questions = tuple(questions)
        self.joins = joins
        self.again_ms = again_ms


class Questions:
    """The questions of one step.

    Args:
        asked_of: what the agent was asked to do, for those who decide.

    """

    def __init__(self, scope: Scope, span: Span, asked_of: str) -> None:
        self._scope = scope
        self._span = span
        self._asked_of = readable(asked_of, _MAX_ASKED_OF, lines=True)

    async def read(self, question: str) -> ApprovalView | None:
        """A question's record, which a week after its end is gone."""
        scope = self._scope
        found = await scope.writer.write(
            lambda: list_of(scope.store, scope.session.workspace, [question])
        )
        return found[0] if found else None

    async def ask(
        self,
        call: ToolCall,
        tool: Tool[..., object],
        request: GateRequest,
        verdict: Verdict,
        arguments: Canonical,
        policy_hash: str,
    ) -> Asked:
        """Put a question on record and tell those who listen."""
        scope, span = self._scope, self._span
        question = new_id("apr")
        fields: dict[str, Any] = {
            "id": question,
            "workspace": scope.session.workspace.id,
            "session": span.session,
            "root": request.root,
            "user": scope.fields["user"],
            "agent": request.agent,
            "chain": ",".join(name.removeprefix("s:") for name in scope.path.names[2:]),
            "turn": span.turn,
            "step": span.step,
            "call": call.id,
            "tool": tool.name,
            "server": tool.server,
            "action": request.action,
            "effect": tool.effect,
            "risk": tool.risk,
            "priority": priority_of(tool.risk),
            "reason": readable(verdict.reason, MAX_RESOURCE),
            "stage": verdict.stage,
            "remedy": remedy_for(request, verdict),
            "arguments": arguments.text,
            "arguments_sha256": arguments.sha256,
            "manifest": request.manifest,
            "policy": policy_hash,
            "folder": folder_of(request),
            "outside": encode_json(verdict.outside),
            "cost_microusd": tool.cost_microusd,
            "asked_of": self._asked_of,
            "fallback": self._fallback(tool),
            "repeat_key": self._repeat_key(tool, arguments),
        }
        told = span.event("approval.requested", **told_of(fields)).body
        record = self._record(fields, verdict)
        timeout_s = scope.kit.settings.approval_timeout_s
        return await scope.writer.write(
            lambda: tools.ask(
                scope.store,
                scope.lease,
                f"call:{call.id}",
                approval=question,
                version=request.granted.version,
                repeat_key=fields["repeat_key"],
                deadline_ms=int(timeout_s * 1000),
                fields=fields,
                told=told,
                audit=record.body,
            )
        )

    def outcome(self, question: ApprovalView, tool: Tool[..., object]) -> Outcome | None:
        """What a call comes to by the answer to its question; None if it is to run or to wait."""
        if question.state == "denied":
            why = f": {question.note}" if question.note else ""
            text = f"`{tool.name}` was denied by a person{why}. Do not repeat this call."
            return Outcome(text, is_error=True)
        if question.released and question.turn == self._span.turn:
            return self.deferred(tool, question.why)
        if question.state == "expired":
            if question.fallback == "safe_default":
                limit = self._scope.kit.settings.tool_output_max
                return Outcome(render_output(tool.safe_default, limit))
            why = _words(question.why)
            text = unanswered(tool.name, question.reason, question.remedy, why)
            return Outcome(text, is_error=True)
        if question.state == "cancelled":
            return Outcome(f"Not run: its question was closed ({question.why}).", is_error=True)
        return None

    def deferred(self, tool: Tool[..., object], why: str) -> Outcome:
        return Outcome(_DEFERRED.format(tool=tool.name, why=_words(why)), is_error=True)

    async def close(self, question: ApprovalView, state: ApprovalState, why: str) -> None:
        """Close a question that needs no answer any more."""
        await _close(self._scope, question, state, why)

    async def settle(self, question: str) -> None:
        """Close the question of a call that has its result, unless it waits for a later answer."""
        found = await self.read(question)
        if (
            found is not None
            and not found.released
            and (found.is_open or found.state == "approved")
        ):
            await self.close(found, "void", "the call came to its result without it")

    def _fallback(self, tool: Tool[..., object]) -> Fallback:
        if tool.unanswered is not None:
            return tool.unanswered
        settings = self._scope.kit.settings
        if self._scope.fields["priority"] == "background":
            return settings.unanswered_background
        return settings.unanswered_interactive

    def _repeat_key(self, tool: Tool[..., object], arguments: Canonical) -> str:
        return f"{self._span.session} {tool.server}/{tool.name} {arguments.sha256}"

    def _record(self, fields: dict[str, Any], verdict: Verdict) -> Record:
        return Record(
            workspace=str(fields["workspace"]),
            actor=f"agent:{fields['agent']}",
            action=str(fields["action"]),
            decision="ask",
            proof=verdict.proof,
            session=self._span.session,
            turn=self._span.turn,
            arguments_sha256=str(fields["arguments_sha256"]),
            cost_microusd=int(str(fields["cost_microusd"])),
            reason=verdict.reason[:MAX_NAME],
            outcome="ask",
        )


def folder_of(request: GateRequest) -> str:
    """The folder that a call's action means something in, if it does."""
    boundary, action = request.boundary, Action.parse(request.action)
    relative = action.kind == "exec" or (action.kind == "file" and action.path[:1] != "/")
    return boundary.root if boundary and boundary.folder is not None and relative else ""


async def questions_of(scope: Scope, turn: str) -> list[str]:
    """Ids of the questions that a turn left open, whatever its calls say: a worker of it died."""
    ids = text_list(await scope.writer.read("SMEMBERS", scope.session.approvals))
    found = await scope.writer.write(lambda: list_of(scope.store, scope.session.workspace, ids))
    return [each.id for each in found if each.turn == turn and not each.released]


async def close_all(scope: Scope, questions: Sequence[str], why: str) -> None:
    """Close what a turn that ends has asked and got no answer to."""
    if not questions:
        return
    found = await scope.writer.write(
        lambda: list_of(scope.store, scope.session.workspace, questions)
    )
    for question in found:
        if question.is_open or question.state == "approved":
            await _close(scope, question, "cancelled", why)


async def _close(scope: Scope, question: ApprovalView, state: ApprovalState, why: str) -> None:
    await scope.writer.write(
        lambda: close(scope.store, scope.session, question, state, why, lease=scope.lease)
    )


def _words(why: str) -> str:
    return _UNHEARD.get(why, "nobody answered")
