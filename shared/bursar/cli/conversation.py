"""Turns at the terminal: their events as they come, and the questions of their session's tree."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bursar.cli.desk import Desk
from bursar.cli.live import LiveView
from bursar.cli.output import console
from bursar.cli.terminal import Failed, Keyboard, Mailbox, Typed, is_interactive
from bursar.cli.watching import QuestionChange, watch_questions
from bursar.client import (
    ApprovalView,
    Client,
    ClientEvent,
    SessionView,
    TurnResult,
    TurnStream,
)
from bursar.errors import GatewayUnreachable, StoreUnavailable

__all__ = ["Conversation", "desk_here", "put_one", "serve"]

_QUIET_S = 2.0
"""After so long without an event it is worth to look whether somebody is asked something."""
_LOOK_S = 1.0
_TURN, _QUESTIONS = "turn", "questions"


def desk_here(client: Client, *, quiet: bool = False) -> Desk:
    """A desk at this terminal; without one, or if it is to be ``quiet``, on standard error."""
    if is_interactive() and not quiet:
        return Desk(client, console(), Keyboard())
    return Desk(client, console(stderr=True), None)


class Conversation:
    """Follows turns of one session, one after the other.

    Questions are asked for only when something waits: most turns have none.

    Args:
        show: takes each event of the turns.
        view: where the turns' text is shown, if it is; then Ctrl-C cancels the turn.

    """

    def __init__(
        self,
        client: Client,
        session: SessionView,
        desk: Desk,
        show: Callable[[ClientEvent], None],
        view: LiveView | None = None,
    ) -> None:
        self._client = client
        self._root = session.root or session.id
        self._desk = desk
        self._show = show
        self._view = view
        self._box = Mailbox()
        self._watching = False
        self._cancelled = False

    def follow(self, stream: TurnStream) -> TurnResult:
        """Show a turn to its end. Ctrl-C cancels the turn; a second one stops looking."""
        self._cancelled = False
        self._box.fill(_TURN, lambda: stream)
        over = False
        try:
            while not over:
                try:
                    over = self._take(self._next())
                except KeyboardInterrupt:
                    self._cancel(stream.turn)
        finally:
            self._desk.close()
            self._end_line()
        self._desk.drop(stream.turn)
        return stream.result()

    def _next(self) -> Any:
        """The next item; the prompt is up while none comes."""
        if self._box.empty():
            self._desk.resume()
        return self._box.next(self._desk.keyboard, timeout_s=_QUIET_S)

    def _take(self, item: Any) -> bool:
        """Do what an item says; whether the turn is over."""
        match item:
            case None:
                self._watch()
            case Typed(text):
                self._desk.typed(text)
            case QuestionChange(view):
                self._end_line()
                self._desk.changed(view)
            case Failed(source, error) if source == _TURN:
                if error is not None:
                    raise error
                return True
            case Failed():
                self._watching = False  # the next quiet moment tries again
            case _:
                self._event(item)
        return False

    def _event(self, event: ClientEvent) -> None:
        self._desk.pause()
        self._show(event)
        if self._desk.current is not None:
            self._end_line()
        if event.kind in {"approval.requested", "approval.resolved"}:
            # At once: a watch may learn of it when the turn is over already.
            _look(self._client, self._desk, str(event.data.get("approval", "")))
        if event.kind == "turn.waiting" or event.kind.startswith("approval."):
            self._watch()

    def _cancel(self, turn: str) -> None:
        if self._cancelled or self._view is None or not turn:
            raise KeyboardInterrupt
        self._cancelled = True
        self._desk.close()
        self._view.note("cancelling; Ctrl-C again leaves it alone")
        self._client.cancel_turn(turn)

    def _end_line(self) -> None:
        if self._view is not None:
            self._view.end()

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._box.fill(_QUESTIONS, lambda: watch_questions(self._client, root=self._root))


def serve(client: Client, desk: Desk, *, root: str = "") -> None:
    """Put questions to the person at a desk as they come up, until Ctrl-C.

    Args:
        root: only those of this session's tree.

    """
    box = Mailbox()
    box.fill(_QUESTIONS, lambda: watch_questions(client, root=root))
    try:
        while True:
            if box.empty():
                desk.resume()
            match box.next(desk.keyboard):
                case Typed(text):
                    desk.typed(text)
                case QuestionChange(view):
                    desk.changed(view)
                case Failed(_, error) if error is not None:
                    raise error
    finally:
        desk.close()


def put_one(client: Client, desk: Desk, view: ApprovalView) -> None:
    """Put one question to the person at a desk, until it is answered, left open or closed."""
    box = Mailbox()
    desk.changed(view)
    try:
        while desk.has(view.id):
            desk.resume()
            match box.next(desk.keyboard, timeout_s=_LOOK_S):
                case Typed(text):
                    desk.typed(text)
                case _:
                    _look(client, desk, view.id)
    finally:
        desk.close()


def _look(client: Client, desk: Desk, question: str) -> None:
    """Tell the desk how a question is now; if that cannot be said, the prompt stays as it is."""
    with suppress(GatewayUnreachable, StoreUnavailable):
        desk.changed(client.get_approval(question))
