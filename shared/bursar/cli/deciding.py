"""From what a person says to an answer that counts, and what is said back about it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bursar.cli.output import command
from bursar.cli.question import ended_as, short_hash
from bursar.client import AllowanceView, ApprovalView, Client, NewAllowance, OutsidePath
from bursar.errors import BursarError, Conflict, Denied, GatewayUnreachable, InvalidInput, NotFound
from bursar.gate.display import MAX_RESOURCE, readable

__all__ = [
    "CLOSED",
    "SCOPES",
    "Decision",
    "allowing",
    "arguments_of",
    "explained",
    "told",
    "words_for",
]

SCOPES = {
    "once": "this call alone",
    "session": "in its session from now on",
    "tree": "in its session's whole tree from now on",
    "workspace": "in the workspace from now on",
    "always": "in the workspace for 30 days",
}
CLOSED = frozenset({"already_answered", "approval_closed"})
"""Codes of the refusal of an answer that came too late."""


@dataclass(frozen=True)
class Decision:
    """``decision`` is ``approve``, ``deny`` or ``defer``; the rest as of the client's method."""

    decision: str
    scope: str | None = None
    allowance: NewAllowance | None = None
    arguments: Mapping[str, Any] | None = None
    reason: str | None = None

    def send(self, client: Client, view: ApprovalView) -> ApprovalView:
        """Answer a question as it was shown."""
        return client.answer_approval(
            view,
            self.decision,
            scope=self.scope,
            allowance=self.allowance,
            arguments=self.arguments,
            reason=self.reason or None,
        )


def words_for(decision: Decision) -> str:
    """What is going to be done, as a question to the person who decides."""
    if decision.decision == "deny":
        return "Deny it"
    if decision.decision == "defer":
        return "Say that nobody can decide now"
    if decision.arguments is not None:
        return "Approve it once, with these arguments"
    if decision.allowance is not None:
        pattern = readable(decision.allowance.pattern, MAX_RESOURCE)
        return f"Approve it, and all that matches {pattern} {SCOPES[decision.allowance.scope]}"
    return f"Approve it, {SCOPES[decision.scope or 'once']}"


def allowing(
    view: ApprovalView,
    pattern: str,
    scope: str,
    *,
    max_uses: int | None = None,
    expires_in_s: int | None = None,
) -> NewAllowance:
    """What to allow beyond a call: a pattern, and the places outside that the call reaches.

    A pattern that is meant in the session's folder counts in no other one.
    """
    places = tuple(OutsidePath(place.path, place.operation, place.volume) for place in view.outside)
    return NewAllowance(
        pattern=pattern,
        scope=scope,
        session="" if scope == "workspace" else view.session,
        max_uses=max_uses,
        expires_in_s=expires_in_s,
        folder=view.folder,
        paths=places,
    )


def arguments_of(text: str, option: str) -> dict[str, Any]:
    """Read arguments that a person wrote.

    Raises:
        InvalidInput: it is no JSON object; names the ``option``.

    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"expected JSON: {error}", field=option) from None
    except RecursionError:
        raise InvalidInput("expected JSON that is not so deep", field=option) from None
    if not isinstance(found, dict):
        raise InvalidInput('expected a JSON object, such as {"path": "a.md"}', field=option)
    return found


def told(client: Client, view: ApprovalView) -> list[str]:
    """Lines about an answer that was taken: what it did, and how to take back what it granted."""
    shown = f"arguments {short_hash(view)}"
    if view.state == "deferred":
        return [f"{view.id}: {ended_as(view)}"]
    if view.decision == "deny":
        return [f"{view.id}: denied; the agent is told ({shown})"]
    runs = "its result comes to the session as an input" if view.released else "the call runs now"
    edited = ", with other arguments" if view.edited else ""
    lines = [f"{view.id}: approved{edited}; {runs} ({shown})"]
    if not view.grant:
        return lines
    try:
        return [*lines, *_granted(client, view)]
    except BursarError:
        # The answer counts, whatever became of the gateway since.
        return [*lines, f"what it allowed from now on is {view.grant}"]


def explained(client: Client, view: ApprovalView, error: BursarError) -> str:
    """What went wrong with an answer, and what to do next."""
    again = command(f"approvals show {view.id}", view.workspace)
    if isinstance(error, Conflict) and error.code in CLOSED:
        try:
            now = ended_as(client.get_approval(view.id))
        except BursarError:
            now = error.message
        return f"{view.id} takes no answer any more: {now}. Yours changed nothing."
    if isinstance(error, Conflict) and error.code == "other_call":
        return f"the arguments of {view.id} are not those that were shown; look again: {again}"
    if isinstance(error, Denied) and error.code == "approver_only":
        return (
            "this API key may not answer; an administrator makes one that may: "
            "bursar keys create NAME --approver"
        )
    if isinstance(error, GatewayUnreachable):
        return f"{error}; whether the answer counted is not known, so look: {again}"
    if isinstance(error, InvalidInput):
        return f"{_OPTIONS.get(error.field, error.field)}: {error.message}"
    return str(error)


_OPTIONS = {
    "scope": "--scope",
    "allowance.pattern": "--allow",
    "pattern": "--allow",
    "allowance.paths": "--allow",
    "max_uses": "--uses",
    "expires_in_s": "--for",
    "reason": "--reason",
    "arguments": "--arguments",
    "arguments_sha256": "--hash",
}
"""Options by the fields that the gateway names."""


def _granted(client: Client, view: ApprovalView) -> list[str]:
    """What an answer allowed beyond the call, and how to take that back."""
    where = "" if view.workspace == "default" else f" -w {view.workspace}"
    if view.grant.startswith("cap_"):
        found = client.inspect_capability(id=view.grant).capability
        until = f" until {_moment(found.expires_ms)}" if found else " for 30 days"
        what, scope, undo = view.action, f"in the workspace{until}", "capabilities revoke"
    else:
        made = _allowance(client, view)
        of = "" if made.scope == "workspace" else f" --session {view.session}"
        what, scope, undo = made.pattern, SCOPES[made.scope], "allowances revoke"
        scope += f", in {readable(made.folder, MAX_RESOURCE)}" if made.folder else ""
        where = f"{of}{where}"
    return [
        f"{readable(what, MAX_RESOURCE)} needs no answer {scope}",
        f"to take that back: bursar {undo} {view.grant}{where}",
    ]


def _allowance(client: Client, view: ApprovalView) -> AllowanceView:
    for found in client.list_allowances(session=view.session):
        if found.id == view.grant:
            return found
    raise NotFound("it was used up or revoked since", code="allowance_not_found")


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000).astimezone():%Y-%m-%d %H:%M %Z}"
