"""How ``bursar approvals answer`` and ``watch`` go about it."""

from dataclasses import dataclass
from typing import Any

import typer

from bursar.cli.conversation import desk_here, put_one, serve
from bursar.cli.deciding import (
    CLOSED,
    Decision,
    allowing,
    arguments_of,
    explained,
    told,
    words_for,
)
from bursar.cli.editing import shown
from bursar.cli.output import clean, command, console, print_json
from bursar.cli.question import Background, ended_as, one_line, print_question
from bursar.cli.terminal import is_interactive
from bursar.cli.watching import watch_questions
from bursar.client import ApprovalView, Client
from bursar.errors import BursarError, Conflict, InvalidInput

__all__ = ["Said", "answer", "find", "watch"]

_LEFT_OPEN, _TOO_LATE = 1, 4


@dataclass(frozen=True)
class Said:
    """What the options say, as they were given."""

    decision: str | None
    scope: str | None = None
    allow: str | None = None
    uses: int | None = None
    expires_in_s: int | None = None
    arguments: str | None = None
    reason: str | None = None

    def check(self) -> None:
        """Raises `InvalidInput` for options that do not go together; names one."""
        needs_allow = {"--uses": self.uses, "--for": self.expires_in_s}
        for option, value in needs_allow.items():
            if value is not None and self.allow is None:
                raise InvalidInput("expected --allow PATTERN beside it", field=option)
        approves = {"--scope": self.scope, "--allow": self.allow, "--arguments": self.arguments}
        for option, given in approves.items():
            if given is not None and self.decision != "approve":
                raise InvalidInput("expected --approve beside it", field=option)
        if self.reason is not None and self.decision is None:
            raise InvalidInput("expected --approve, --deny or --defer beside it", field="--reason")
        if self.arguments is not None and self.allow is not None:
            raise InvalidInput("give it or --allow, not both", field="--arguments")
        if self.arguments is not None and self.scope not in {None, "once"}:
            raise InvalidInput("expected once beside --arguments", field="--scope")
        if self.allow is not None and self.scope in {"once", "always"}:
            raise InvalidInput("expected session, tree or workspace for --allow", field="--scope")

    def about(self, view: ApprovalView) -> Decision | None:
        if self.decision is None:
            return None
        if self.allow is not None:
            wish = allowing(
                view,
                self.allow,
                self.scope or "workspace",
                max_uses=self.uses,
                expires_in_s=self.expires_in_s,
            )
            return Decision(self.decision, allowance=wish, reason=self.reason)
        edited: dict[str, Any] | None = None
        if self.arguments is not None:
            edited = arguments_of(self.arguments, "--arguments")
        return Decision(self.decision, scope=self.scope, arguments=edited, reason=self.reason)


def find(client: Client, approval: str | None) -> ApprovalView:
    """The question that is meant: by its id, or the only one that is open."""
    if approval is not None:
        return client.get_approval(approval)
    found = client.list_approvals()
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidInput("no question is open in this workspace", field="ID")
    ids = ", ".join(view.id for view in found[:5]) + (", …" if len(found) > 5 else "")
    raise InvalidInput(f"{len(found)} questions are open, say which one: {ids}", field="ID")


def answer(
    client: Client,
    view: ApprovalView,
    said: Said,
    *,
    seen: str | None,
    yes: bool,
    full: bool,
    as_json: bool,
) -> int:
    """Show a question and answer it; returns the exit status."""
    if not view.is_open:
        _complain(f"{view.id} takes no answer any more: {ended_as(view)}")
        return _TOO_LATE
    if seen is not None and seen != view.arguments_sha256:
        raise InvalidInput(
            f"the arguments of {view.id} have {view.arguments_sha256}; look at them before you "
            f"answer: {command(f'approvals show {view.id}', view.workspace)}",
            field="--hash",
        )
    decision = said.about(view)
    here = is_interactive() and not as_json
    if decision is None:
        if not here:
            raise InvalidInput("expected it, or --deny, or --defer", field="--approve")
        return _at_desk(client, view)
    if not as_json:
        print_question(view, Background.look(client, view), console(), full=full)
        for line in shown(decision.arguments, console()) if decision.arguments else []:
            console().print(line)
    if here and not yes and not typer.confirm(clean(f"{words_for(decision)}?")):
        _complain(f"{view.id} was left open")
        return _LEFT_OPEN
    return _send(client, view, decision, as_json=as_json)


def watch(client: Client, *, root: str, as_json: bool) -> None:
    """Wait for questions, until Ctrl-C."""
    if as_json:
        for change in watch_questions(client, root=root):
            print_json(change.view)
        return
    desk = desk_here(client)
    if desk.keyboard is None:
        for change in watch_questions(client, root=root):
            _print_change(change.view)
        return
    console().print("waiting for questions; Ctrl-C leaves", style="dim")
    serve(client, desk, root=root)


def _at_desk(client: Client, view: ApprovalView) -> int:
    desk = desk_here(client)
    put_one(client, desk, view)
    if any(mine.id == view.id for mine in desk.answered):
        return 0
    return _LEFT_OPEN if client.get_approval(view.id).is_open else _TOO_LATE


def _send(client: Client, view: ApprovalView, decision: Decision, *, as_json: bool) -> int:
    try:
        now = decision.send(client, view)
    except Conflict as error:
        if error.code not in CLOSED:
            raise _in_words(client, view, error) from error
        _complain(explained(client, view, error))
        return _TOO_LATE
    except BursarError as error:
        raise _in_words(client, view, error) from error
    if as_json:
        print_json(now)
        return 0
    for line in told(client, now):
        console().print(clean(line), markup=False, soft_wrap=True)
    return 0


def _in_words(client: Client, view: ApprovalView, error: BursarError) -> BursarError:
    """The same error, saying what to do next."""
    said = explained(client, view, error)
    if isinstance(error, InvalidInput):
        field, _, message = said.partition(": ")
        return InvalidInput(message, field=field, code=error.code)
    return type(error)(said, code=error.code)


def _print_change(view: ApprovalView) -> None:
    """One line for a question, or for what became of it."""
    if view.state == "pending":
        line = f"{view.id}  {view.priority}  {one_line(view)}"
    else:
        line = f"{view.id}  {ended_as(view)}"
    print(clean(line), flush=True)


def _complain(message: str) -> None:
    console(stderr=True).print(clean(f"bursar: {message}"), markup=False, soft_wrap=True)
