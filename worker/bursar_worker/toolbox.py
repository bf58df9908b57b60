"""The tool calls of one step: through the gate, run at once, each result committed when it ends.

A call's state stands in the session's effects: ``intent`` (asked for), ``sent`` (its effect may
have happened), ``done`` (its result is stored). After a crash the next owner reads these: what was
not sent runs, what is done is reused, and a sent call runs again only if its tool says that this
is harmless. Otherwise its outcome is unknown, and the model is told so.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bursar.clock import monotonic_s, wall_ms
from bursar.context import Progress, ToolContext
from bursar.errors import BudgetRefused, BursarError, Fenced, InvalidInput, StoreUnavailable
from bursar.events import Span
from bursar.failpoints import failpoint
from bursar.gate.patterns import Action
from bursar.gate.pipeline import GateRequest, refusal
from bursar.ids import new_secret
from bursar.messages import AssistantMessage, ToolCall, ToolMessage
from bursar.store.codec import decode_message, encode_message, text
from bursar.store.scripts import budgets
from bursar.store.scripts import turns as scripts
from bursar.store.scripts.budgets import HoldRef, HoldWish
from bursar.store.scripts.turns import Commit
from bursar.tools import Tool, render_output
from bursar_worker.confinement import boundary_of
from bursar_worker.money import Unpaid
from bursar_worker.scope import Scope
from bursar_worker.stopping import asked_to_stop, stop

__all__ = ["OpenCalls", "Toolbox", "intents"]

_INTENT, _SENT, _DONE = "intent", "sent", "done"
UNKNOWN = (
    "This call was interrupted after it had begun. Whether it took effect is unknown, and it was "
    "not repeated. Find out before you try again."
)
_LIMIT = "Not run: this step asked for more than {limit} tool calls. Ask for fewer at a time."
_AGAIN_S = 5.0  # what a tool gets to clean up before it is cancelled once more
_SHOWN = 500  # characters of arguments and output in events; messages have the whole
_STOPPED = "Not run: the turn was stopped first."

logger = logging.getLogger(__name__)


def intents(calls: tuple[ToolCall, ...]) -> dict[str, str | bytes]:
    """The effects that are committed together with an answer that asks for these calls."""
    return {f"call:{call.id}": _INTENT for call in calls}


@dataclass(frozen=True)
class _Outcome:
    output: str
    is_error: bool = False
    unknown: bool = False


_UNKNOWN = _Outcome(UNKNOWN, is_error=True, unknown=True)


class OpenCalls:
    """The calls of a step that is not closed, with the states that Redis holds."""

    def __init__(self, answer: AssistantMessage, effects: dict[str, bytes]) -> None:
        self.calls = answer.tool_calls
        self.states = {
            call.id: text(effects.get(f"call:{call.id}", _INTENT)) for call in answer.tool_calls
        }
        self.results: dict[str, ToolMessage] = {}
        for call in answer.tool_calls:
            stored = effects.get(f"result:{call.id}")
            message = decode_message(stored) if stored else None
            if isinstance(message, ToolMessage):
                self.results[call.id] = message

    def fields(self) -> list[str]:
        """Effect fields that the close of the step drops."""
        return [f"{kind}:{call.id}" for call in self.calls for kind in ("call", "result")]

    def messages(self, span: Span) -> list[ToolMessage]:
        """A result for every call, in call order; those that never ended say why."""
        found = []
        for call in self.calls:
            if call.id in self.results:
                found.append(self.results[call.id])
                continue
            begun = self.states[call.id] != _INTENT
            outcome = _UNKNOWN if begun else _Outcome(_STOPPED, is_error=True)
            found.append(_message(call, outcome, span))
        return found


def _message(call: ToolCall, outcome: _Outcome, span: Span) -> ToolMessage:
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


class Toolbox:
    """Runs the calls of one step."""

    def __init__(self, scope: Scope, span: Span) -> None:
        self._scope = scope
        self._settings = scope.kit.settings
        self._boundary = boundary_of(self._settings, scope.fields, scope.agent.policy)
        self._tools: dict[str, Tool[..., Any]] = {tool.name: tool for tool in scope.agent.tools}
        self._writer = scope.writer
        self._span = span
        self._places = asyncio.Semaphore(self._settings.tool_concurrency)
        self._unpaid: list[Unpaid] = []

    async def run(self, open_calls: OpenCalls) -> None:
        """Bring every call of the step to a result.

        Raises:
            Unpaid: others hold the money for a call. It was not made; all others have a result.
            Fenced: another worker took the session over; running tools are stopped.

        """
        tasks = [
            asyncio.create_task(self._settle(call, index, open_calls))
            for index, call in enumerate(open_calls.calls)
            if call.id not in open_calls.results
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            await stop(*tasks, again_s=_AGAIN_S)
        if self._unpaid:
            raise self._unpaid[0]

    async def _settle(self, call: ToolCall, index: int, open_calls: OpenCalls) -> None:
        try:
            async with self._places:
                outcome, hold = await self._run_call(call, index, open_calls)
        except Unpaid as unpaid:
            self._unpaid.append(unpaid)
            return
        message = _message(call, outcome, self._span)
        commit = Commit(
            effects={f"call:{call.id}": _DONE, f"result:{call.id}": encode_message(message)},
            tool_calls=1,
            hold=hold,
            actual_microusd=hold.cost_microusd if hold else 0,
            warning=self._span.event("budget.warning").body,
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
        open_calls.states[call.id] = _DONE
        open_calls.results[call.id] = message

    async def _run_call(
        self, call: ToolCall, index: int, open_calls: OpenCalls
    ) -> tuple[_Outcome, HoldRef | None]:
        """Check, pay, run. What stands in the way is a result that the model can read."""
        limit = self._settings.max_tool_calls
        if index >= limit:
            return _Outcome(_LIMIT.format(limit=limit), is_error=True), None
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            return _Outcome(f"There is no tool {call.name!r}. Tools: {known}.", is_error=True), None
        if open_calls.states[call.id] == _SENT and tool.effect == "at_most_once":
            return _UNKNOWN, None
        hold: HoldRef | None = None
        try:
            arguments = tool.parse(call.arguments)
            await self._pass_gate(tool, arguments)
            hold = await self._reserve(tool, call)
        except InvalidInput as error:
            return _Outcome(f"Invalid arguments. {error}", is_error=True), None
        except BudgetRefused as error:
            if error.details["kind"] == "contended":
                raise Unpaid(error, tool.cost_microusd, 0) from error
            # The agent may find another way, which a turn that waits could not.
            return _Outcome(str(error), is_error=True), None
        except _RefusedError as error:
            return _Outcome(str(error), is_error=True), None
        await self._scope.authority.require()
        failpoint("C10")
        await self._announce(tool, call, arguments, hold)
        open_calls.states[call.id] = _SENT
        failpoint("C11")
        # Again, because the way to Redis and back may have taken long.
        await self._scope.authority.require()
        outcome = await self._execute(tool, call, arguments)
        failpoint("C12")
        return outcome, hold

    async def _pass_gate(self, tool: Tool[..., Any], arguments: dict[str, Any]) -> None:
        try:
            action = str(self._boundary.located(Action.parse(tool.action(arguments))))
        except BursarError:
            raise
        except Exception as error:
            logger.exception("the action of tool %s raised", tool.name)
            raise _RefusedError(
                f"Refused: the tool cannot say what it would do ({error})."
            ) from error
        request = GateRequest(
            workspace=self._scope.session.workspace.id,
            session=self._span.session,
            agent=self._scope.agent.name,
            tool=tool.name,
            action=action,
            effect=tool.effect,
            risk=tool.risk,
            arguments=arguments,
            policy=self._scope.agent.policy,
            boundary=self._boundary,
        )
        verdict = await self._scope.kit.gate.decide(request)
        if verdict.decision != "allow":
            raise _RefusedError(refusal(request, verdict))

    async def _reserve(self, tool: Tool[..., Any], call: ToolCall) -> HoldRef | None:
        if not tool.cost_microusd:
            return None
        span = self._span
        wish = HoldWish(
            # The epoch is part of it: a former owner's hold on this call was ended at the claim.
            hold_id=f"{span.session}/{span.turn}/{span.step}/{call.id}/{self._scope.lease.epoch}",
            secret=new_secret(),
            cost_microusd=tool.cost_microusd,
            tokens=0,
            sent=False,
            ttl_ms=int(self._settings.hold_open_s * 1000),
            turn=span.turn,
            step=span.step,
            kind=f"tool:{tool.name}",
            price="declared",
        )
        return await self._writer.write(
            lambda: budgets.reserve(self._scope.store, self._scope.lease, self._scope.path, wish)
        )

    async def _announce(
        self, tool: Tool[..., Any], call: ToolCall, arguments: dict[str, Any], hold: HoldRef | None
    ) -> None:
        """Record that the call is sent. Only a call that is recorded may have an effect."""
        shown = msgspec.json.encode(arguments).decode()[:_SHOWN]
        event = self._span.event("tool.started", call=call.id, name=tool.name, arguments=shown)
        once = tool.effect == "at_most_once"
        await self._writer.write(
            lambda: scripts.start_tool(
                self._scope.store, self._scope.lease, f"call:{call.id}", [event], hold, once=once
            )
        )

    async def _execute(
        self, tool: Tool[..., Any], call: ToolCall, arguments: dict[str, Any]
    ) -> _Outcome:
        timeout_s = self._timeout_s(tool)
        context, close = self._context(call, timeout_s)
        limit = self._settings.tool_output_max
        try:
            async with asyncio.timeout(timeout_s):
                value = await tool.run(context, arguments)
            return _Outcome(render_output(value, limit))
        except TimeoutError:
            return _Outcome(f"The tool did not answer within {timeout_s:g} s.", is_error=True)
        except asyncio.CancelledError:
            if asked_to_stop():
                raise
            return _Outcome("The tool failed: a task of its own was cancelled.", is_error=True)
        except (Fenced, StoreUnavailable):
            raise
        except BursarError as error:
            return _Outcome(render_output(f"The tool failed: {error}", limit), is_error=True)
        except (Exception, SystemExit) as error:
            # A tool is user code: whatever it raises is a result for the model, and a log line.
            logger.exception("tool %s raised", tool.name)
            what = f"The tool failed: {type(error).__name__}: {error}"
            return _Outcome(render_output(what, limit), is_error=True)
        finally:
            close()

    def _context(self, call: ToolCall, timeout_s: float) -> tuple[ToolContext, Callable[[], None]]:
        """The tool's context, and what closes it: progress after the call's end shows nowhere."""
        span = self._span
        closed = asyncio.Event()

        async def emit(progress: Progress) -> None:
            if not closed.is_set():
                self._writer.emit(
                    span.event("tool.progress", call=call.id, name=call.name, progress=progress)
                )

        context = ToolContext(
            workspace=self._scope.session.workspace.id,
            session=span.session,
            user=self._scope.fields["user"],
            turn=span.turn,
            step=span.step,
            call_id=call.id,
            deadline=monotonic_s() + timeout_s,
            files=Path(self._boundary.root) if self._boundary.folder else None,
            boundary=self._boundary,
            on_emit=emit,
        )
        return context, closed.set

    def _timeout_s(self, tool: Tool[..., Any]) -> float:
        return self._settings.tool_timeout_s if tool.timeout_s is None else tool.timeout_s


class _RefusedError(Exception):
    """The gate said no; the text is for the model and the operator."""
