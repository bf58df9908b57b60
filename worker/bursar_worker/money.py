"""What stands between a turn and the money for its next call."""

import logging

from bursar.errors import BudgetRefused, BursarError
from bursar.store.scripts import budgets
from bursar.store.scripts.budgets import HoldRef
from bursar_worker.scope import Scope

__all__ = ["CLOSING_NOTE", "WARNING_NOTE", "Unpaid", "book_late", "keeping", "may_close"]

WARNING_NOTE = (
    "\n\nNote on the budget: most of the money for this work is spent. Do only what is needed to "
    "come to an answer soon."
)
CLOSING_NOTE = (
    "\n\nNote on the budget: the money for this work is spent. This is your last answer: call no "
    "tools, and give the best answer that you can from what you have."
)
logger = logging.getLogger(__name__)

_WAITABLE = {"contended", "exhausted", "frozen"}


class Unpaid(Exception):
    """A call that a turn cannot go on without is not paid for.

    ``cost_microusd`` and ``tokens`` are the least that it needs, which may be less than what was
    refused last.
    """

    def __init__(self, refused: BudgetRefused, cost_microusd: int, tokens: int) -> None:
        super().__init__(str(refused))
        self.refused = refused
        self.cost_microusd = cost_microusd
        self.tokens = tokens

    @property
    def kind(self) -> str:
        return str(self.refused.details["kind"])

    @property
    def account(self) -> str:
        return str(self.refused.details["account"])

    @property
    def can_wait(self) -> bool:
        """Whether the refusal may end: what an action or a turn may cost at most does not."""
        return self.kind in _WAITABLE


def may_close(scope: Scope, unpaid: Unpaid) -> bool:
    """Whether what the refusing account keeps back is there for a closing answer."""
    return unpaid.kind == "exhausted" and unpaid.account in keeping(scope)


async def book_late(scope: Scope, hold: HoldRef, cost_microusd: int, tokens: int) -> None:
    """Book what a call really cost although another worker drives the session by now.

    Its new owner books the whole hold; this corrects that, whichever comes first.
    """
    try:
        await budgets.end_hold(
            scope.store,
            scope.session,
            op="commit",
            hold_id=hold.id,
            names=hold.names,
            turn=hold.id.split("/")[1],
            secret=hold.secret,
            actual_microusd=cost_microusd,
            tokens=tokens,
        )
    except BursarError as error:
        logger.warning("hold %s stays booked in full: %s", hold.id, error)


def keeping(scope: Scope) -> set[str]:
    """The accounts that keep something back: the root's and the session's own."""
    return {scope.path.names[2], scope.path.names[-1]}
