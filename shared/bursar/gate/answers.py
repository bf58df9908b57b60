"""People's answers to questions: exactly one counts, and what it grants beside holds at once."""

import hashlib
import logging
from typing import Any, Literal

import msgspec

from bursar.audit.entries import Record
from bursar.errors import Conflict, InvalidInput, StoreUnavailable
from bursar.events import Span
from bursar.gate import approvals, minting
from bursar.gate.approvals import ApprovalView, told_of
from bursar.gate.canonical import Canonical, canonical
from bursar.gate.closing import expiry
from bursar.gate.display import readable
from bursar.gate.granting import NewAllowance, build, record_of
from bursar.gate.grants import PathGrant, covers_outside
from bursar.gate.narrowing import MAX_TTL_S
from bursar.gate.patterns import Action, Pattern, escape
from bursar.gate.terms import NewCapability
from bursar.ids import new_id
from bursar.messages import UserMessage
from bursar.queue import Bells
from bursar.registry import Registry
from bursar.sessions import read_facts
from bursar.signing import SigningKeys
from bursar.store.codec import encode_json, encode_message
from bursar.store.keys import SessionKeys, WorkspaceKeys
from bursar.store.scripts import approvals as scripts
from bursar.store.scripts.allowances import grant_of
from bursar.store.scripts.approvals import Answer, Grant, Later
from bursar.store.scripts.capabilities import grant_of as capability_grant
from bursar.store.scripts.leases import Told
from bursar.store.store import Store

__all__ = ["Answers", "Decision"]

logger = logging.getLogger(__name__)

_MAX_REASON = 200
_MAX_TRIES = 5
_APPROVED_LATE = (
    "Your call `{tool}`, which was deferred, was approved by a person. It runs now, and its result "
    "follows."
)
_DENIED_LATE = (
    "Your call `{tool}`, which was deferred, was denied by a person{why}. Do not repeat it."
)


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person says to a question.

    Args:
        arguments_sha256: as the question shows it; so nobody approves what they did not see.
        scope: ``once`` is this call alone. The others allow such calls from now on: in the
            session, in its tree, in the workspace, or ``always``: a capability for 30 days.
        allowance: what to allow from now on instead, in the person's own words.
        arguments: to run the call with these instead.
        reason: for the agent and the audit log.

    """

    decision: Literal["approve", "deny", "defer"]
    arguments_sha256: str
    scope: Literal["once", "session", "tree", "workspace", "always"] = "once"
    allowance: NewAllowance | None = None
    arguments: dict[str, Any] | None = None
    reason: str = ""

    def check(self) -> None:
        """Raises `InvalidInput` for parts that do not go together."""
        if len(self.reason) > _MAX_REASON:
            raise InvalidInput(f"expected at most {_MAX_REASON} characters", field="reason")
        beside = {"scope": self.scope != "once", "allowance": self.allowance is not None}
        if self.decision != "approve":
            given = beside | {"arguments": self.arguments is not None}
            for field, is_given in given.items():
                if is_given:
                    raise InvalidInput(f"expected none to {self.decision}", field=field)
        elif all(beside.values()):
            raise InvalidInput("expected once beside an allowance", field="scope")
        elif self.arguments is not None and any(beside.values()):
            raise InvalidInput("expected once with other arguments", field="scope")


class Answers:
    """Takes answers. One a gateway."""

    def __init__(
        self, store: Store, registry: Registry, bells: Bells, signing: SigningKeys
    ) -> None:
        self._store = store
        self._registry = registry
        self._bells = bells
        self._signing = signing

    async def answer(
        self,
        workspace: WorkspaceKeys,
        approval_id: str,
        decision: Decision,
        *,
        by: str,
        answer_id: str = "",
    ) -> ApprovalView:
        """Take a person's answer; it is durable when this returns.

        Args:
            by: who answers, as the audit names it.
            answer_id: of the request; a repeat of it is answered as the first time.

        Raises:
            NotFound: no such question.
            Conflict: ``already_answered``, ``approval_closed``, or ``other_call`` when the echoed
                hash is not that of the question's arguments.
            InvalidInput: names the field.

        """
        decision.check()
        for _ in range(_MAX_TRIES):
            view = await approvals.get(self._store, workspace, approval_id)
            if answer_id and view.answer_id.startswith(f"{answer_id} "):
                return _as_before(view, answer_id, decision)
            if decision.decision == "defer":
                woken = await self._defer(workspace, view, decision, by)
            else:
                woken = await self._answer(workspace, view, decision, by, answer_id)
            if woken is not None:
                await self._bells.tell(woken)
                await self._settle_others(workspace, view, decision)
                return await approvals.get(self._store, workspace, approval_id)
        raise Conflict("the question keeps changing, try again", code="approval_changing")

    async def _answer(
        self,
        workspace: WorkspaceKeys,
        view: ApprovalView,
        decision: Decision,
        by: str,
        answer_id: str,
    ) -> Told | None:
        session = workspace.session(view.session)
        grant = await self._grant(workspace, view, decision, by)
        edited = _edited(decision)
        given = _script_answer(self._store, view, decision, by, grant, edited)
        if answer_id:
            fields = {**given.fields, "answer_id": f"{answer_id} {_print_of(decision)}"}
            given = msgspec.structs.replace(given, fields=fields)
        if not view.released:
            return await scripts.answer(self._store, session, given, view.turn)
        later = await self._later(session, view, decision)
        return await scripts.answer_later(self._store, session, given, later)

    async def _later(self, session: SessionKeys, view: ApprovalView, decision: Decision) -> Later:
        """The turn in which the answer arrives, because the call's own has gone on."""
        facts = await read_facts(self._store, session)
        entry = await self._registry.find(facts.agent)
        why = f": {decision.reason}" if decision.reason else ""
        words = _APPROVED_LATE if decision.decision == "approve" else _DENIED_LATE
        turn = new_id("trn")
        message = UserMessage(words.format(tool=view.tool, why=why), turn=turn)
        return Later(
            turn=turn,
            payload=encode_message(message),
            user=facts.user,
            workspace_path=facts.workspace_path,
            agent=facts.agent,
            no_worker=entry is None or not entry.live,
        )

    async def _defer(
        self, workspace: WorkspaceKeys, view: ApprovalView, decision: Decision, by: str
    ) -> Told | None:
        """Nobody can decide now: what the deadline would bring comes at once."""
        if decision.arguments_sha256 != view.arguments_sha256:
            raise Conflict("the arguments are not those that you saw", code="other_call")
        told, audit = expiry(view, by=by)
        return await scripts.expire(
            self._store,
            workspace.session(view.session),
            view.id,
            turn=view.turn,
            told=told,
            audit=audit,
            early=by,
        )

    async def _grant(
        self, workspace: WorkspaceKeys, view: ApprovalView, decision: Decision, by: str
    ) -> Grant | None:
        """What the answer grants beyond the call, checked against the call."""
        wish = decision.allowance or _wish_of(view, decision)
        if wish is None and decision.scope != "always":
            return None
        if view.risk == "critical":
            raise InvalidInput("expected once: critical calls are asked each time", field="scope")
        action = Action.parse(view.action)
        if action.has_shell_syntax or action.has_parent_step:
            raise InvalidInput(
                "expected once: no grant covers a command with shell syntax or '..'", field="scope"
            )
        if wish is None:
            return await self._always(workspace, view, by)
        pattern = Pattern(wish.pattern, root=wish.folder or None)
        if not pattern.permits(action.within(view.folder or None)):
            raise InvalidInput(
                f"expected a pattern that covers {readable(view.action)}", field="allowance.pattern"
            )
        if not covers_outside(wish.paths, view.outside):
            raise InvalidInput("expected all places that the call reaches", field="allowance.paths")
        allowance = await build(
            self._store, workspace, wish, by=by, approval=view.id, manifest=view.manifest
        )
        record = record_of(workspace, by, "allowance.grant", allowance)
        return grant_of(workspace, allowance, record.body)

    async def _always(self, workspace: WorkspaceKeys, view: ApprovalView, by: str) -> Grant:
        """A right without a session that says to everybody when it ends."""
        wish = NewCapability(
            patterns=(escape(view.action),),
            expires_in_s=MAX_TTL_S,
            manifest=view.manifest,
            folder=view.folder,
            outside=_paths(view),
        )
        capability, record = await minting.for_answer(
            self._store, workspace, self._signing, wish, approval=view.id, by=by
        )
        return capability_grant(workspace, capability, record.body)

    async def _settle_others(
        self, workspace: WorkspaceKeys, answered: ApprovalView, decision: Decision
    ) -> None:
        wish = decision.allowance or _wish_of(answered, decision)
        if wish is not None:
            pattern = Pattern(wish.pattern, root=wish.folder or None)
            root = "" if wish.scope == "workspace" else answered.root
            await self.settle_covered(workspace, pattern, root=root)
        elif decision.scope == "always":
            pattern = Pattern(escape(answered.action), root=answered.folder or None)
            await self.settle_covered(workspace, pattern)

    async def settle_covered(
        self, workspace: WorkspaceKeys, pattern: Pattern, *, root: str = ""
    ) -> None:
        """Let open questions be looked at again that a new grant may answer.

        Args:
            pattern: of the grant.
            root: of the tree that it is for; empty for the workspace.

        """
        for view in await approvals.list_open(self._store, workspace, root=root):
            if not pattern.permits(Action.parse(view.action).within(view.folder or None)):
                continue
            session = workspace.session(view.session)
            try:
                woken = await scripts.wake(self._store, session, view.id, view.turn)
            except StoreUnavailable as error:
                # The grant stands. This question stays open, and its own answer will do.
                logger.warning("question %s was not looked at again: %s", view.id, error)
                return
            if woken is not None:
                await self._bells.tell(woken)


def _as_before(view: ApprovalView, answer_id: str, decision: Decision) -> ApprovalView:
    """The answer to a repeated request; the same id with another answer is refused."""
    if view.answer_id != f"{answer_id} {_print_of(decision)}":
        raise Conflict(
            "this Idempotency-Key was used before with another answer", code="idempotency_conflict"
        )
    return view


def _print_of(decision: Decision) -> str:
    return hashlib.sha256(encode_json(decision)).hexdigest()[:32]


def _edited(decision: Decision) -> Canonical | None:
    if decision.arguments is None:
        return None
    return canonical(encode_json(decision.arguments).decode())


def _script_answer(
    store: Store,
    view: ApprovalView,
    decision: Decision,
    by: str,
    grant: Grant | None,
    edited: Canonical | None,
) -> Answer:
    state = "approved" if decision.decision == "approve" else "denied"
    scope = "allowance" if decision.allowance is not None else decision.scope
    fields: dict[str, Any] = {
        "decision": decision.decision,
        "scope": scope,
        "grant": grant.id if grant else "",
        "answered_by": by,
        "note": readable(decision.reason, _MAX_REASON),
        "generation": store.generation,
    }
    if edited is not None:
        fields |= {
            "edited": 1,
            "arguments": edited.text,
            "arguments_sha256": edited.sha256,
            "asked_arguments": view.arguments,
        }
    told = told_of(msgspec.structs.asdict(view)) | {
        "state": state,
        "decision": decision.decision,
        "scope": scope,
        "by": by,
        "note": fields["note"],
        "edited": edited is not None,
    }
    record = Record(
        workspace=view.workspace,
        actor=by,
        action=view.action[:1024],
        decision="allow" if state == "approved" else "deny",
        proof="approval",
        proof_id=view.id,
        session=view.session,
        turn=view.turn,
        arguments_sha256=edited.sha256 if edited else view.arguments_sha256,
        outcome=scope,
        reason=fields["note"],
    )
    return Answer(
        approval=view.id,
        state=state,
        arguments_sha256=decision.arguments_sha256,
        fields=fields,
        told=Span(view.session, view.turn, view.step).event("approval.resolved", **told).body,
        audit=record.body,
        released=view.released,
        grant=grant,
    )


def _wish_of(view: ApprovalView, decision: Decision) -> NewAllowance | None:
    """What a scope allows from now on: the very action that was asked about, and no more."""
    if decision.scope in {"once", "always"} or decision.decision != "approve":
        return None
    scope: Any = decision.scope
    return NewAllowance(
        pattern=escape(view.action),
        scope=scope,
        session="" if scope == "workspace" else view.session,
        folder=view.folder,
        paths=_paths(view),
    )


def _paths(view: ApprovalView) -> tuple[PathGrant, ...]:
    return tuple(PathGrant(place.path, place.operation, place.volume) for place in view.outside)
