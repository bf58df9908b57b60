"""The tool calls of one step: through the gate, run at once, each result committed when it ends.

Calls that wait for a person or for sub-agents hold nothing up: the others run, and an answer that
comes meanwhile starts its call beside them. Only when nothing else is left does the turn let go of
its worker. After a crash the next owner goes on from the states in Redis: what was not sent runs,
what is done is reused, and a sent call runs again only if its tool says that this is harmless.
Otherwise its outcome is unknown, and the model is told so.
"""

import asyncio
from dataclasses import replace
from typing import Any

from bursar.audit.entries import Record
from bursar.children import Join
from bursar.events import Span
from bursar.failpoints import failpoint
from bursar.gate.display import MAX_NAME, readable
from bursar.messages import ToolCall
from bursar.store.codec import encode_message
from bursar.store.scripts import turns as scripts
from bursar.store.scripts.budgets import HoldRef
from bursar.store.scripts.turns import Commit
from bursar.tools import Tool, render_output
from bursar_worker.calls import DONE, SENT, UNKNOWN, OpenCalls, Outcome, result_message
from bursar_worker.children import Children
from bursar_worker.execution import execute
from bursar_worker.gatekeeper import Gatekeeper
from bursar_worker.intake import hook_context
from bursar_worker.money import Unpaid
from bursar_worker.questions import AwaitsAnswer, News, Questions
from bursar_worker.scope import Scope
from bursar_worker.stopping import stop

__all__ = ["Toolbox"]

_LIMIT = "Not run: this step asked for more than {limit} tool calls. Ask for fewer at a time."
_AGAIN_S = 5.0  # what a tool gets to clean up before it is cancelled once more
_SHOWN = 500  # characters of output in events; messages have the whole


class Toolbox:
    """Runs the calls of one step.

    Args:
        news: about answers; whoever waits for one is looked at again.
        asked_of: what the agent was asked to do, for people who decide about its calls.

    """

    def __init__(self, scope: Scope, span: Span, *, news: News, asked_of: str) -> None:
        self._scope = scope
        self._settings = scope.kit.settings
        self._writer = scope.writer
        self._span = span
        self._news = news
        self._gatekeeper = Gatekeeper(scope, span, Questions(scope, span, asked_of))
        self._children = Children(scope, span)
        self._places = asyncio.Semaphore(self._settings.tool_concurrency)
        self._unpaid: dict[str, Unpaid] = {}
        self._looked: dict[str, int] = {}
        """Up to which of the news each call was looked at, by its id."""

    @property
    def seen_news(self) -> int:
        """Up to which of the news all calls were looked at: with more, the turn must not rest."""
        return min(self._looked.values(), default=0)

    async def run(self, calls: OpenCalls) -> None:
        """Bring every call of the step to a result.

        Raises:
            Unpaid: others hold the money for a call. It was not made; all others have a result,
                or wait as well.
            AwaitsAnswer: calls wait for people or sub-agents; all others have a result.
            Fenced: another worker took the session over; running tools are stopped.

        """
        running: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                self._start_missing(calls, running)
                if not running:
                    break
                await self._until_news(running)
        finally:
            await stop(*running.values(), again_s=_AGAIN_S)
        if self._unpaid:
            raise next(iter(self._unpaid.values()))
        if calls.questions or calls.open_joins:
            raise AwaitsAnswer(calls.questions, calls.open_joins, self._children.again_ms)

    def _start_missing(self, calls: OpenCalls, running: dict[str, asyncio.Task[None]]) -> None:
        """Look at every call that has no result, unless somebody is at it or nothing is new."""
        for index, call in enumerate(calls.calls):
            if call.id in calls.results or call.id in running:
                continue
            if self._looked.get(call.id, -1) < self._news.count:
                self._looked[call.id] = self._news.count
                self._unpaid.pop(call.id, None)
                running[call.id] = asyncio.create_task(self._settle(call, index, calls))

    async def _until_news(self, running: dict[str, asyncio.Task[None]]) -> None:
        """Wait until a call is settled for now, or something came in about one that waits."""
        news = asyncio.create_task(self._news.beyond(self._news.count))
        try:
            await asyncio.wait({*running.values(), news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        for call_id, task in list(running.items()):
            if task.done():
                del running[call_id]
                task.result()

    async def _settle(self, call: ToolCall, index: int, calls: OpenCalls) -> None:
        try:
            async with self._places:
                found = await self._run_call(call, index, calls)
        except Unpaid as unpaid:
            self._unpaid[call.id] = unpaid
            return
        if found is not None:
            await self._commit(call, calls, *found)

    async def _run_call(
        self, call: ToolCall, index: int, calls: OpenCalls
    ) -> tuple[Outcome, HoldRef | None] | None:
        """Pass the gate and run. What stands in the way is a result that the model can read."""
        limit = self._settings.max_tool_calls
        if index >= limit:
            record = self._record(call, "refused", f"a step has at most {limit} calls")
            return Outcome(_LIMIT.format(limit=limit), is_error=True, record=record), None
        if join := calls.join(call.id):
            joined = await self._children.look(join)
            return None if joined is None else (await self._joined(call, joined), None)
        admitted = await self._gatekeeper.admit(call, calls)
        if admitted is None:
            return None
        if admitted is UNKNOWN:
            return replace(UNKNOWN, record=self._record(call, "unknown")), None
        if isinstance(admitted, Outcome):
            return admitted, None
        calls.states[call.id] = SENT
        failpoint("C11")
        # Again, because the way to Redis and back may have taken long.
        await self._scope.authority.require()
        outcome = await execute(
            self._scope, self._span, admitted.tool, call, admitted.arguments, admitted.boundary
        )
        failpoint("C12")
        if isinstance(outcome, Join):
            opened = await self._children.open(call, outcome)
            if isinstance(opened, str):
                calls.joins(call.id, opened)
                await self._settle_hold(admitted.hold)
                return None
            outcome = opened
        outcome = await self._looked_at(call, admitted.tool, admitted.arguments_json, outcome)
        record = self._record(call, "error" if outcome.is_error else "ok")
        return replace(outcome, record=record), admitted.hold

    async def _joined(self, call: ToolCall, outcome: Outcome) -> Outcome:
        """What sub-agents brought, as the result of the call that gave them their tasks."""
        outcome = await self._looked_at(
            call, self._scope.tools.get(call.name), call.arguments, outcome
        )
        return replace(outcome, record=self._record(call, "error" if outcome.is_error else "ok"))

    async def _settle_hold(self, hold: HoldRef | None) -> None:
        """The tool has done its part: nothing is held while its sub-agents are at work."""
        if hold is None:
            return
        commit = Commit(
            hold=hold,
            actual_microusd=hold.cost_microusd,
            warning=self._span.event("budget.warning").body,
        )
        scope, turn = self._scope, self._span.turn
        await self._writer.write(
            lambda: scripts.commit_step(scope.store, scope.lease, turn, commit, [])
        )

    def _record(self, call: ToolCall, outcome: str, reason: str = "") -> bytes:
        """The audit entry about what became of a call, beside that of the decision about it."""
        scope, span = self._scope, self._span
        return Record(
            workspace=scope.session.workspace.id,
            actor=f"agent:{scope.agent.name}",
            action="tool.result",
            decision="done",
            proof_id=call.id,
            session=span.session,
            turn=span.turn,
            outcome=outcome,
            reason=reason,
            details={"tool": readable(call.name, MAX_NAME), "step": span.step},
        ).body

    async def _looked_at(
        self, call: ToolCall, tool: Tool[..., Any] | None, arguments: str, outcome: Outcome
    ) -> Outcome:
        """The outcome as the agent's hooks want the model to read it."""
        hooks, span = self._scope.hooks, self._span
        if tool is None or not hooks.has("tool_error" if outcome.is_error else "post_tool"):
            return outcome
        ask = hooks.tool_error if outcome.is_error else hooks.post_tool
        context = hook_context(self._scope, span.turn, span.step)
        told = await ask(context, call.id, tool, arguments, outcome.output)
        shown = render_output(told.output, self._settings.tool_output_max)
        return replace(outcome, output=shown, is_error=told.is_error)

    async def _commit(
        self, call: ToolCall, calls: OpenCalls, outcome: Outcome, hold: HoldRef | None
    ) -> None:
        message = result_message(call, outcome, self._span)
        commit = Commit(
            effects={f"call:{call.id}": DONE, f"result:{call.id}": encode_message(message)},
            tool_calls=1,
            hold=hold,
            actual_microusd=hold.cost_microusd if hold else 0,
            warning=self._span.event("budget.warning").body,
            records=[outcome.record] if outcome.record else [],
        )
        event = self._span.event(
            "tool.finished",
            call=call.id,
            name=call.name,
            is_error=outcome.is_error,
            unknown=outcome.unknown,
            output=outcome.output[:_SHOWN],
        )
        scope, turn = self._scope, self._span.turn
        await self._writer.write(
            lambda: scripts.commit_step(scope.store, scope.lease, turn, commit, [event])
        )
        scope.progressed()
        failpoint("C13")
        calls.states[call.id] = DONE
        calls.results[call.id] = message
