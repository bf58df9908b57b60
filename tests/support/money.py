"""What the ledger should do, in plain Python: accounts, holds, a turn, lines of waiting turns."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from bursar.store.scripts.accounts import LimitWish
from bursar.store.scripts.budgets import EndOp

__all__ = ["Account", "Hold", "Purse", "Refusal", "Turn", "Waiter"]

Unit = Literal["microusd", "tokens"]


class Refusal(NamedTuple):
    kind: str
    account: str
    unit: Unit
    available: int


@dataclass
class Waiter:
    """A turn in an account's line; ``number`` is its place."""

    session: str
    cost: int
    tokens: int
    keeps: bool
    kind: str
    number: int


@dataclass
class Account:
    """A limit of None is unlimited."""

    limit: int | None
    token_limit: int | None = None
    per_action: int | None = None
    per_turn: int | None = None
    kept_max: int = 0
    posted: int = 0
    pending: int = 0
    tokens_posted: int = 0
    tokens_pending: int = 0
    floor: int = 0
    overrun: int = 0
    frozen: bool = False
    warn_percent: int = 80
    warned: str = ""
    asked: bool = False
    line: list[Waiter] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    """The place that each session last had in the line."""
    given: int = 0

    @property
    def kept(self) -> int:
        return 0 if self.limit is None else min(self.limit // 20, self.kept_max)

    def refuses(
        self, cost: int, tokens: int, *, keeps: bool, more: tuple[int, int] = (0, 0)
    ) -> tuple[str, Unit, int] | None:
        """Kind, unit and what is left. ``more`` is to be held before it."""
        if self.frozen:
            return "frozen", "microusd", 0
        purses: tuple[tuple[int | None, int, int, int, Unit], ...] = (
            (self.limit, self.posted, self.pending + more[0], cost, "microusd"),
            (self.token_limit, self.tokens_posted, self.tokens_pending + more[1], tokens, "tokens"),
        )
        for limit, posted, pending, wanted, unit in purses:
            if limit is None:
                continue
            free = limit - (self.kept if keeps and unit == "microusd" else 0) - posted
            if wanted > free - pending:
                kind = "contended" if wanted <= free else "exhausted"
                return kind, unit, max(0, free - pending)
        return None

    def settle(self, hold: "Hold", actual: int, tokens: int) -> bool:
        """Book an end; True if that overdrew the account."""
        self.pending -= hold.cost
        self.posted += actual
        self.tokens_pending -= hold.tokens
        self.tokens_posted += tokens
        too_many = tokens > hold.tokens and self.token_limit is not None
        too_many = too_many and self.tokens_posted + self.tokens_pending > (self.token_limit or 0)
        if self.limit is None:
            return too_many
        beyond = self.posted + self.pending - max(self.limit, self.floor) - self.overrun
        self.overrun += max(0, beyond)
        percent = self.warn_percent
        if percent and self.posted * 100 >= self.limit * percent:
            self.warned = str(percent)
        return beyond > 0 or too_many

    def change(self, wish: LimitWish, action_max: int) -> bool:
        """Change limits; False if that is refused."""
        limit = self.limit
        if wish.limit:
            limit = None if wish.limit == "unlimited" else int(wish.limit)
        action = int(wish.per_action) if wish.per_action else self.per_action
        if action is not None and limit is not None:
            if not wish.per_action:
                action = max(action, action_max) if self.per_action == self.limit else action
                action = min(action, limit)
            if action > limit:
                return False
        if limit != self.limit:
            used = self.posted + self.pending
            self.floor = max(used, self.floor) if limit is not None and used > limit else 0
            self.limit, self.warned = limit, ""
        self.per_action = action
        if wish.token_limit:
            self.token_limit = None if wish.token_limit == "unlimited" else int(wish.token_limit)
        if wish.per_turn:
            self.per_turn = None if wish.per_turn == "none" else int(wish.per_turn)
        if wish.warn_percent:
            self.warn_percent, self.warned = int(wish.warn_percent), ""
        self.frozen = self.frozen and not wish.acknowledge
        self.asked = self.asked and bool(self.line)
        return True

    def reset(self) -> None:
        self.posted = self.tokens_posted = self.overrun = 0
        self.floor = self.pending if self.limit is not None and self.pending > self.limit else 0
        self.warned = ""
        self.asked = self.asked and bool(self.line)

    def queue(self, session: str, cost: int, tokens: int, *, keeps: bool) -> bool:
        """Let a turn wait; False if it need not."""
        refused = self.refuses(cost, tokens, keeps=keeps)
        if refused is None:
            return False
        if session not in self.places:
            self.given += 1
            self.places[session] = self.given
        waiter = Waiter(session, cost, tokens, keeps, refused[0], self.places[session])
        self.line.append(waiter)
        self.line.sort(key=lambda each: each.number)
        self.asked = self.asked or refused[0] != "contended"
        return True

    def may_go_on(self) -> list[str]:
        """Sessions of the line whose turns may go on, in order; people are asked for the others."""
        may = []
        more = (0, 0)
        stuck = self.frozen and bool(self.line)
        for waiter in [] if self.frozen else self.line:
            refused = self.refuses(waiter.cost, waiter.tokens, keeps=waiter.keeps, more=more)
            if refused is None:
                more = more[0] + waiter.cost, more[1] + waiter.tokens
                may.append(waiter.session)
            elif refused[0] == "contended":
                self.asked = self.asked or stuck
                return may
            elif waiter.kind == "contended":
                may.append(waiter.session)  # waiting has become useless
            else:
                stuck = True
        self.asked = stuck
        return may


@dataclass
class Hold:
    cost: int
    tokens: int
    sent: bool
    capped: bool
    epoch: int
    closing: bool = False
    state: str = "open"
    actual: int = 0
    actual_tokens: int = 0


@dataclass
class Turn:
    cost: int = 0
    held: int = 0
    closed: bool = False
    """Its closing answer is paid for."""


@dataclass
class Purse:
    """The accounts of one path in order, the own one last, and the holds of one turn."""

    accounts: dict[str, Account]
    turn: Turn = field(default_factory=Turn)
    holds: dict[str, Hold] = field(default_factory=dict)

    @property
    def own(self) -> Account:
        return list(self.accounts.values())[-1]

    def refuses(self, cost: int, tokens: int, *, closing: bool) -> Refusal | None:
        names = list(self.accounts)
        own = self.own
        action = None if own.per_action == own.limit else own.per_action
        if action is not None and cost > action:
            return Refusal("per_action", names[-1], "microusd", action)
        if own.per_turn is not None:
            room = own.per_turn - self.turn.cost - self.turn.held
            if cost > room:
                return Refusal("per_turn", names[-1], "microusd", max(0, room))
        if closing and self.turn.closed:
            return Refusal("closing_used", names[-1], "microusd", 0)
        for name, account in self.accounts.items():
            keeps = not closing and name in {names[2], names[-1]}
            refused = account.refuses(cost, tokens, keeps=keeps)
            if refused:
                kind, unit, available = refused
                return Refusal(kind, name, unit, available)
        return None

    def hold(self, hold_id: str, hold: Hold, *, closing: bool) -> None:
        for account in self.accounts.values():
            account.pending += hold.cost
            account.tokens_pending += hold.tokens
        self.turn.held += hold.cost if hold.capped else 0
        self.turn.closed = self.turn.closed or closing
        hold.closing = closing
        self.holds[hold_id] = hold

    def end(self, hold_id: str, op: EndOp, actual: int, tokens: int) -> None:
        """End an open hold. The lowest account that this overdraws is frozen."""
        hold = self.holds[hold_id]
        if op == "commit":
            hold.state, hold.actual, hold.actual_tokens = "committed", actual, tokens
        elif op == "expire" and hold.sent:
            hold.state, hold.actual, hold.actual_tokens = "unconfirmed", hold.cost, hold.tokens
        else:
            hold.state = "released"
            self.turn.closed = self.turn.closed and not hold.closing
        overdrawn = [
            account
            for account in self.accounts.values()
            if account.settle(hold, hold.actual, hold.actual_tokens)
        ]
        for account in overdrawn[-1:]:
            account.frozen = True
        self.turn.held -= hold.cost if hold.capped else 0
        self.turn.cost += hold.actual

    def lower(self, hold_id: str, actual: int, tokens: int) -> None:
        """Correct what an ended hold was booked with; it never grows, nor falls below zero."""
        hold = self.holds[hold_id]
        less, fewer = max(0, hold.actual - actual), max(0, hold.actual_tokens - tokens)
        for account in self.accounts.values():
            account.posted = max(0, account.posted - less)
            account.tokens_posted = max(0, account.tokens_posted - fewer)
        hold.state = "committed"
        hold.actual -= less
        hold.actual_tokens -= fewer
        self.turn.cost -= less
