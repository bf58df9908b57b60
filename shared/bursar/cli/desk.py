"""Where open questions are put to the person at the terminal, one after the other."""

from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from bursar.cli import editing
from bursar.cli.deciding import CLOSED, SCOPES, Decision, explained, told, words_for
from bursar.cli.output import command
from bursar.cli.question import Background, ended_as, one_line, print_question
from bursar.cli.terminal import Keyboard
from bursar.client import ApprovalView, Client
from bursar.errors import BursarError, Denied

__all__ = ["Desk", "how_to_answer"]

_PROMPT = "[o]nce [s]ession [t]ree [w]orkspace [a]lways [d]eny [e]dit [l]ater [?] > "
_HELP = """\
  o  approve this call alone
     approve it, and the same action without a question from now on:
  s    in this session                  t    in its whole tree of sessions
  w    in the workspace                 a    in the workspace, for 30 days
  d  deny; d REASON tells the agent why
  e  change the arguments, then run it once
  l  leave it open: somebody else may answer
  f  show everything, nothing folded; then press Enter"""
_SCOPES = {word[0]: word for word in SCOPES}


class Desk:
    """Shows questions and takes answers, if there is a terminal; else says how to answer.

    Args:
        keyboard: None without a terminal.
        out: for questions and what became of them.

    """

    def __init__(self, client: Client, out: Console, keyboard: Keyboard | None) -> None:
        self.keyboard = keyboard
        self.answered: list[ApprovalView] = []
        """Questions as they were after an answer from here."""
        self._client = client
        self._out = out
        self._waiting: dict[str, ApprovalView] = {}
        self._current: ApprovalView | None = None
        self._background: Background | None = None
        self._label = ""
        self._take: Callable[[str], None] = self._choose
        self._may_answer = True
        self._known: dict[str, str] = {}
        """States, as last told, of questions that somebody here was told of."""
        self._over: set[str] = set()
        """Questions that are closed, though word of their opening may still be on its way."""

    @property
    def current(self) -> ApprovalView | None:
        """The question that a person is asked now."""
        return self._current

    def has(self, question: str) -> bool:
        """Whether a question is being put to the person, or waits for that."""
        return question in self._waiting or getattr(self._current, "id", "") == question

    # -- what happens elsewhere

    def changed(self, view: ApprovalView) -> None:
        """A question came up, or something became of one. `resume` puts it to the person."""
        if not view.is_open:
            self._closed(view)
        elif view.id not in self._over:
            self._opened(view)

    def _opened(self, view: ApprovalView) -> None:
        told_before = self._known.get(view.id)
        self._known[view.id] = view.state
        if told_before is not None:
            if told_before != view.state:
                self._say(f"{view.id}: {ended_as(view)}")
        elif self.keyboard is None or not self._may_answer:
            self._say(how_to_answer(view))
        else:
            self._waiting[view.id] = view

    def _closed(self, view: ApprovalView) -> None:
        self._over.add(view.id)
        if self._known.pop(view.id, None) is None:
            return
        self._waiting.pop(view.id, None)
        if self._current is not None and self._current.id == view.id:
            self._put_away()
        self._say(f"{view.id}: {ended_as(view)}")

    def drop(self, turn: str) -> None:
        """A turn has ended, and what it had asked with it."""
        for view in [each for each in self._waiting.values() if each.turn == turn]:
            del self._waiting[view.id]
            self._forget(view)
        if self._current is not None and self._current.turn == turn:
            self._forget(self._current)
            self._put_away()

    # -- the prompt

    def pause(self) -> None:
        """Make room for other output; `resume` comes after it."""
        if self.keyboard is not None:
            self.keyboard.hide()

    def resume(self) -> None:
        """Show the prompt again, or the next question if none is there."""
        if self.keyboard is None:
            return
        if self._current is not None:
            if self.keyboard.is_open:
                self.keyboard.show()
            return
        if self._waiting:
            first = min(self._waiting.values(), key=_urgency)
            self._put(self._waiting.pop(first.id))

    def typed(self, text: str | None) -> None:
        """A line for the open prompt; None for the end of input."""
        if text is None:
            self._later()
        else:
            self._take(text.strip())

    def close(self) -> None:
        """Give the terminal back."""
        if self.keyboard is not None:
            self.keyboard.close()

    def _put(self, view: ApprovalView, *, full: bool = False) -> None:
        self._current = view
        self._background = self._background if full else Background.look(self._client, view)
        print_question(view, self._background or Background({}, "", None), self._out, full=full)
        self._ask(_PROMPT, self._choose)

    def _ask(self, label: str, take: Callable[[str], None]) -> None:
        self._label, self._take = label, take
        if self.keyboard is not None:
            self.keyboard.open(label)

    def _put_away(self) -> None:
        self._current = None
        if self.keyboard is not None:
            self.keyboard.close()

    def _forget(self, view: ApprovalView) -> None:
        self._known.pop(view.id, None)
        self._over.add(view.id)

    def _say(self, line: str, style: str = "dim") -> None:
        self.pause()
        self._out.print(Text(line, style=style), soft_wrap=True)

    # -- what was typed

    def _choose(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        choice = word.lower()
        letter = choice[:1]
        scope = _SCOPES.get(letter)
        if scope is not None and choice in {letter, scope} and not rest:
            self._send(Decision("approve", scope=scope))
        elif choice in {"d", "deny"} and rest:
            self._send(Decision("deny", reason=rest.strip()))
        elif choice in {"d", "deny"}:
            self._ask("reason, for the agent (Enter for none) > ", self._deny)
        elif choice in {"e", "edit"}:
            self._edit()
        elif choice in {"l", "later"}:
            self._later()
        elif choice in {"f", "full"} and self._current is not None:
            self._put(self._current, full=True)
        else:
            self._say(_HELP)
            self._ask(_PROMPT, self._choose)

    def _deny(self, reason: str) -> None:
        self._send(Decision("deny", reason=reason))

    def _later(self) -> None:
        if self._current is not None:
            view = self._current
            self._put_away()
            self._say(f"left open; {how_to_answer(view)}")

    def _edit(self) -> None:
        view = self._current
        if view is None or self.keyboard is None:
            return
        self.keyboard.close()
        try:
            arguments = editing.edit(view.arguments)
        except BursarError as error:
            self._say(str(error), "yellow")
            arguments = None
        if arguments is None:
            self._ask(_PROMPT, self._choose)
            return
        decision = Decision("approve", arguments=arguments)
        for line in editing.shown(arguments, self._out):
            self._out.print(line)

        def confirmed(answer: str) -> None:
            if answer.lower() in {"y", "yes"}:
                self._send(decision)
            else:
                self._ask(_PROMPT, self._choose)

        self._ask(f"{words_for(decision)}? [y/N] > ", confirmed)

    def _send(self, decision: Decision) -> None:
        view = self._current
        if view is None:
            return
        try:
            now = decision.send(self._client, view)
        except BursarError as error:
            self._refused(view, error)
            return
        self.answered.append(now)
        self._forget(view)
        self._put_away()
        for line in told(self._client, now):
            self._say(line)

    def _refused(self, view: ApprovalView, error: BursarError) -> None:
        said = explained(self._client, view, error)
        if error.code in CLOSED:
            self._forget(view)
            self._put_away()
            self._say(said, "yellow")
            return
        if isinstance(error, Denied):
            self._may_answer = False
            self._waiting.clear()
            self._put_away()
            self._say(f"{said}\n{how_to_answer(view)}", "yellow")
            return
        self._say(said, "yellow")
        self._ask(_PROMPT, self._choose)


def how_to_answer(view: ApprovalView) -> str:
    """One line for those who have to answer elsewhere."""
    return f"{one_line(view)}; to answer: {command(f'approvals answer {view.id}', view.workspace)}"


def _urgency(view: ApprovalView) -> tuple[int, int]:
    order = ("critical", "high", "normal", "low")
    return (order.index(view.priority) if view.priority in order else 1), view.created_ms
