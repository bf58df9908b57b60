"""The way of one tool call through the gate: decided, paid for and recorded, or refused, or asked.

Whoever gets `Admitted` may run the call: the script that let it start has used up what the call
rests on, holds what it costs, and has it on record.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bursar.audit.entries import Record
from bursar.budgets.accounts import read_accounts
from bursar.errors import BudgetRefused, BursarError, InvalidInput
from bursar.events import Span
from bursar.failpoints import failpoint
from bursar.gate.approvals import ApprovalView
from bursar.gate.boundary import Boundary
from bursar.gate.chain import under
from bursar.gate.display import MAX_NAME
from bursar.gate.grants import PathGrant, covers_outside
from bursar.gate.patterns import Action, tool_action
from bursar.gate.pipeline import GateRequest, refusal
from bursar.gate.policies import Layered, layers_from
from bursar.gate.requests import Use, Verdict
from bursar.ids import new_secret
from bursar.messages import ToolCall
from bursar.store.scripts import tools as scripts
from bursar.store.scripts.budgets import HoldRef, HoldWish
from bursar.store.scripts.tools import Permit
from bursar.tools import Tool
from bursar_worker.calls import SENT, UNKNOWN, OpenCalls, Outcome
from bursar_worker.confinement import boundary_of
from bursar_worker.money import Unpaid
from bursar_worker.preparation import Preparation, WantedCall
from bursar_worker.questions import Questions, folder_of
from bursar_worker.scope import Scope

__all__ = ["Admitted", "Gatekeeper"]

_MAX_LOOKS = 20  # at rules that change each time the call is about to start
_FRESH_S = 1.0  # a refusal rests on rules that are at most so old; a start is checked in any case
_SHOWN = 500  # characters of arguments in events; messages have the whole

logger = logging.getLogger(__name__)


def _pause_s(look: int) -> float:
    """Where many change the rules at once, who looks again waits a little."""
    return 0.0 if look < 2 else random.uniform(0, 0.02 * look)  # noqa: S311


@dataclass(frozen=True)
class Admitted:
    """A call that may run, and what it is to be run with."""

    tool: Tool[..., Any]
    arguments: dict[str, Any]
    arguments_json: str
    boundary: Boundary
    hold: HoldRef | None


class _StaleError(Exception):
    """The rules or grants that a decision rests on have changed."""


class Gatekeeper:
    """One a step."""

    def __init__(self, scope: Scope, span: Span, questions: Questions) -> None:
        self._scope = scope
        self._span = span
        self._questions = questions
        self._settings = scope.kit.settings
        self._preparation = Preparation(scope, span, questions)

    async def admit(self, call: ToolCall, calls: OpenCalls) -> Admitted | Outcome | None:
        """Bring a call through the gate. None: it waits for a person's answer.

        Raises:
            Unpaid: others hold the money for it.

        """
        done = await self._admit(call, calls)
        asked = calls.question(call.id)
        if asked and isinstance(done, Outcome):
            # Whatever gave the call its result: nobody is to be asked about it any more.
            await self._questions.settle(asked)
        return done

    async def _admit(self, call: ToolCall, calls: OpenCalls) -> Admitted | Outcome | None:
        tool = self._scope.tools.get(call.name)
        if tool is None:
            known = ", ".join(sorted(self._scope.tools)) or "none"
            return Outcome(f"There is no tool {call.name!r}. Tools: {known}.", is_error=True)
        if calls.states[call.id] == SENT and tool.effect == "at_most_once":
            return UNKNOWN
        try:
            way = await self._preparation.of(call, tool, calls)
        except InvalidInput as error:
            return Outcome(f"Invalid arguments. {error}", is_error=True)
        try:
            return await self._pass(way, calls)
        except InvalidInput as error:
            return Outcome(f"Invalid arguments. {error}", is_error=True)
        except BudgetRefused as error:
            if error.details["kind"] == "contended":
                raise Unpaid(error, tool.cost_microusd, 0) from error
            # The agent may find another way, which a turn that waits could not.
            return Outcome(str(error), is_error=True, record=self._unpaid(way, error))

    async def _pass(self, way: WantedCall, calls: OpenCalls) -> Admitted | Outcome | None:
        workspace, root = self._scope.session.workspace, self._scope.fields["root"]
        # Who was woken to look again must see what there is now.
        max_age_s: float | None = 0.0 if way.question else None
        asked = way.question is not None
        for look in itertools.count():
            if look:
                await asyncio.sleep(_pause_s(look))
            snapshot = await self._scope.kit.snapshots.read(workspace, root, max_age_s=max_age_s)
            policy = self._rules(snapshot.policies)
            request = replace(self._request(way, policy), granted=snapshot)
            if look == _MAX_LOOKS:
                return self._given_up(way, request, "the rules keep changing")
            settled = await self._settle_question(way, request, policy)
            if settled is not None:
                return settled
            if asked and way.question is None:
                # It is a call like any other again, so its hooks are asked anew.
                way, asked = await self._preparation.anew(way), False
                request = replace(self._request(way, policy), granted=snapshot)
            request = replace(request, approved=self._approved(way, request, policy))
            verdict = await self._scope.kit.gate.decide(request)
            if await self._leads_elsewhere(way, verdict):
                continue
            if verdict.decision != "allow" and snapshot.age_s > _FRESH_S:
                max_age_s = _FRESH_S
                continue
            try:
                return await self._done(way, request, verdict, policy, calls)
            except _StaleError:
                max_age_s = 0.0
        raise AssertionError("the last look returns")

    def _rules(self, stored: Mapping[bytes, bytes]) -> Layered:
        agent = self._scope.agent
        return under(layers_from(stored, agent.name, agent.policy), self._scope.chain, stored)

    def _given_up(self, way: WantedCall, request: GateRequest, why: str) -> Outcome:
        record = self._record(way, request, Verdict("deny", "gate", "system", why))
        return Outcome(f"`{way.tool.name}` was not run: {why}.", is_error=True, record=record.body)

    async def _done(
        self,
        way: WantedCall,
        request: GateRequest,
        verdict: Verdict,
        policy: Layered,
        calls: OpenCalls,
    ) -> Admitted | Outcome | None:
        """Do what was decided, unless the rules have changed since."""
        if verdict.decision == "allow":
            return await self._start(way, request, verdict, policy)
        if verdict.decision == "deny":
            return await self._refused(way, request, verdict)
        return await self._ask(way, request, verdict, policy, calls)

    def _request(self, way: WantedCall, policy: Layered) -> GateRequest:
        boundary = boundary_of(self._settings, self._scope.fields, policy)
        span = self._span
        return GateRequest(
            workspace=self._scope.session.workspace.id,
            session=span.session,
            root=self._scope.fields["root"],
            agent=self._scope.agent.name,
            call=f"{span.session}/{span.turn}/{span.step}/{way.call.id}",
            tool=way.tool.name,
            action=self._action(way, boundary),
            effect=way.tool.effect,
            risk=way.tool.risk,
            arguments=way.arguments,
            manifest=way.tool.manifest_hash,
            suspect=way.tool.suspect,
            policy=policy,
            boundary=boundary,
            hook=way.hook,
        )

    def _action(self, way: WantedCall, boundary: Boundary) -> str:
        try:
            return str(boundary.located(Action.parse(way.tool.action(way.arguments))))
        except BursarError:
            raise
        except Exception as error:
            logger.exception("the action of tool %s raised", way.tool.name)
            raise InvalidInput(
                f"the tool cannot say what it would do ({error})", field="action"
            ) from error

    async def _settle_question(
        self, way: WantedCall, request: GateRequest, policy: Layered
    ) -> Outcome | None:
        """See what became of the question about a call; one that is void is forgotten."""
        question = way.question
        if question is None:
            return None
        outcome = self._questions.outcome(question, way.tool)
        if outcome is not None:
            return outcome
        changed = self._changed(question, way, request, policy)
        if changed and question.state != "consumed":
            await self._questions.close(question, "void", changed)
        if changed or question.state in {"void", "granted"}:
            way.question = None
        return None

    def _changed(
        self, question: ApprovalView, way: WantedCall, request: GateRequest, policy: Layered
    ) -> str:
        """Why a question is not about this call any more; empty if it is."""
        if (question.session, question.call) != (request.session, way.call.id):
            return "it was asked about another call"
        if question.manifest != request.manifest:
            return "the tool changed"
        if question.policy != policy.hash:
            return "the policy changed"
        if question.arguments_sha256 != way.canonical.sha256:
            return "the arguments changed"
        if question.folder != folder_of(request):
            return "the session's folder is another one"
        if question.action != request.action and not question.edited:
            return "the call would do something else"
        generation = self._scope.store.generation
        if question.state == "approved" and question.generation != generation:
            # The mark that it was used may be lost together with what came after it.
            return "the store lost data since it was approved"
        return ""

    async def _leads_elsewhere(self, way: WantedCall, verdict: Verdict) -> bool:
        """Whether an approved call would reach places that the person did not see; it is void."""
        question = way.question
        if question is None or verdict.proof != "approval" or question.edited:
            return False
        seen = [PathGrant(each.path, each.operation, each.volume) for each in question.outside]
        if covers_outside(seen, verdict.outside):
            return False
        await self._questions.close(question, "void", "its path leads elsewhere by now")
        way.question = None
        return True

    def _approved(self, way: WantedCall, request: GateRequest, policy: Layered) -> Verdict | None:
        """What answers every question of the gate about this call."""
        question, served = way.question, way.served
        if question is not None and question.state in {"approved", "consumed"}:
            parts = (way.canonical.sha256, request.manifest, policy.hash, question.id)
            use = Use("approval", question.id, parts)
            reason = f"approved by {question.answered_by}"
            return Verdict("allow", "human", "approval", reason, question.id, use=use)
        if served is not None and served.kind == "allowance":
            reason = f"allowance {served.id}"
            return Verdict("allow", "allowance", "allowance", reason, served.id, use=served)
        return None

    async def _refused(self, way: WantedCall, request: GateRequest, verdict: Verdict) -> Outcome:
        if way.question is not None and way.question.is_open:
            await self._questions.close(way.question, "void", verdict.reason[:MAX_NAME])
        record = self._record(way, request, verdict)
        return Outcome(refusal(request, verdict), is_error=True, record=record.body)

    async def _ask(
        self,
        way: WantedCall,
        request: GateRequest,
        verdict: Verdict,
        policy: Layered,
        calls: OpenCalls,
    ) -> Outcome | None:
        if way.question is not None:
            return None
        await self._check_purse(way.tool)
        asked = await self._questions.ask(
            way.call, way.tool, request, verdict, way.canonical, policy.hash
        )
        if asked.status == "stale":
            raise _StaleError
        if asked.status == "merged":
            return self._questions.deferred(way.tool, "timed_out")
        if asked.status == "too_many":
            return self._given_up(way, request, "it needs approval, and too many questions wait")
        calls.waits(way.call.id, asked.id)
        return None

    async def _check_purse(self, tool: Tool[..., Any]) -> None:
        """Nobody is asked about a call that could not be paid for. Holding comes later."""
        if not tool.cost_microusd:
            return
        scope = self._scope
        for view in await read_accounts(
            scope.store, scope.session.workspace.id, list(scope.path.names)
        ):
            limit = view.limit_microusd
            if limit is not None and view.posted_microusd + tool.cost_microusd > limit:
                left = max(0, limit - view.posted_microusd)
                raise BudgetRefused(
                    f"account {view.account} has {left} micro-USD left, and one call costs "
                    f"{tool.cost_microusd}",
                    account=view.account,
                    kind="exhausted",
                )

    async def _start(
        self, way: WantedCall, request: GateRequest, verdict: Verdict, policy: Layered
    ) -> Admitted:
        scope, span, call = self._scope, self._span, way.call
        await scope.authority.require()
        failpoint("C10")
        shown = way.canonical.text[:_SHOWN]
        event = span.event("tool.started", call=call.id, name=way.tool.name, arguments=shown)
        permit = Permit(
            version=request.granted.version,
            use=verdict.use,
            audit=self._record(way, request, verdict).body,
            hold=self._hold(way),
            once=way.tool.effect == "at_most_once",
        )
        started = await scope.writer.write(
            lambda: scripts.start_tool(
                scope.store, scope.lease, f"call:{call.id}", [event], permit, scope.path
            )
        )
        if started.status != "ok":
            if started.status == "void" and way.question is not None:
                await self._questions.close(way.question, "void", started.why)
                way.question = None
            if way.served is not None:
                # What it rested on was revoked meanwhile.
                way.served = None
            raise _StaleError
        if way.question is not None and way.question.is_open:
            # Something was granted meanwhile, and it has served the call.
            await self._questions.close(way.question, "granted", verdict.reason)
        outside = tuple(place.path for place in verdict.outside)
        boundary = request.boundary or boundary_of(self._settings, scope.fields, policy)
        opened = replace(boundary, opened=outside)
        return Admitted(way.tool, way.arguments, way.canonical.text, opened, started.hold)

    def _hold(self, way: WantedCall) -> HoldWish | None:
        if not way.tool.cost_microusd:
            return None
        span = self._span
        return HoldWish(
            # The epoch is part of it: a former owner's hold on this call was ended at the claim.
            hold_id=f"{span.session}/{span.turn}/{span.step}/{way.call.id}/{self._scope.lease.epoch}",
            secret=new_secret(),
            cost_microusd=way.tool.cost_microusd,
            tokens=0,
            sent=True,
            ttl_ms=int(self._settings.hold_open_s * 1000),
            turn=span.turn,
            step=span.step,
            kind=f"tool:{way.tool.name}",
            price="declared",
        )

    def _unpaid(self, way: WantedCall, error: BudgetRefused) -> bytes:
        tool = way.tool
        return Record(
            workspace=self._scope.session.workspace.id,
            actor=f"agent:{self._scope.agent.name}",
            action=tool_action(tool.server, tool.name),
            decision="deny",
            proof_id=str(error.details["account"]),
            session=self._span.session,
            turn=self._span.turn,
            arguments_sha256=way.canonical.sha256,
            cost_microusd=tool.cost_microusd,
            reason=f"budget {error.details['kind']}",
        ).body

    def _record(self, way: WantedCall, request: GateRequest, verdict: Verdict) -> Record:
        return Record(
            workspace=request.workspace,
            actor=f"agent:{request.agent}",
            action=request.action[:1024],
            decision=verdict.decision,
            proof=verdict.proof,
            proof_id=verdict.proof_id,
            session=request.session,
            turn=self._span.turn,
            arguments_sha256=way.canonical.sha256,
            cost_microusd=way.tool.cost_microusd,
            reason=verdict.reason[:MAX_NAME],
        )
