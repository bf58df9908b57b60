"""What stands between a turn and the money for its next call."""

import logging
from collections.abc import Awaitable, Callable

import msgspec

from bursar.errors import BudgetRefused, BursarError, Conflict, ModelError
from bursar.store.scripts import budgets
from bursar.store.scripts.budgets import HoldRef, HoldWish
from bursar_worker.scope import Scope

__all__ = [
    "CLOSING_NOTE",
    "WARNING_NOTE",
    "Unpaid",
    "book_late",
    "hold_next",
    "keeping",
    "may_close",
    "spent_own_part",
]

WARNING_NOTE = (
    "\n\nNote on the budget: most of the money for this work is spent. Do only what is needed to "
    "come to an answer soon."
)
CLOSING_NOTE = (
    "\n\nNote on the budget: the money for this work is spent. This is your last answer: call no "
    "tools, and give the best answer that you can from what you have."
)
logger = logging.getLogger(__name__)

_MAX_ATTEMPT_NO = 1000
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


async def hold_next(
    scope: Scope, wish: HoldWish, id_of: Callable[[int], str], first: int = 1
) -> tuple[HoldRef, int]:
    """Hold what is wished under the first number that was not used before; returns that, too.

    An attempt that was lost with its worker was paid for and has ended: this is another one.

    Raises:
        BudgetRefused: an account of the path cannot pay for it.
        ModelError: ``too_many_attempts``.

    """

    def reserving(wish: HoldWish) -> Callable[[], Awaitable[HoldRef]]:
        return lambda: budgets.reserve(scope.store, scope.lease, scope.path, wish)

    for number in range(first, _MAX_ATTEMPT_NO):
        numbered = msgspec.structs.replace(wish, hold_id=id_of(number))
        try:
            return await scope.writer.write(reserving(numbered)), number
        except Conflict as conflict:
            if conflict.code not in {"hold_ended", "id_conflict"}:
                raise
    raise ModelError("too many attempts at one step", code="too_many_attempts")


def spent_own_part(scope: Scope, unpaid: Unpaid) -> bool:
    """Whether a sub-agent, or one that it works for, has used up what it was given of the purse.

    Whoever gave it that much is told, and may decide; people are asked about the purse only.
    """
    if unpaid.kind != "exhausted" or not scope.fields.get("join"):
        return False
    # A dash stands for one above that nobody waits for: the purse is of the session below those.
    not_waited_for = scope.fields["born"].split().count("-")
    return unpaid.account in scope.path.names[3 + not_waited_for :]


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
