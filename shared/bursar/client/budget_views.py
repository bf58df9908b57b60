"""What a client reads about budgets, and what it changes of them. See `bursar.client.views`."""

import msgspec

__all__ = [
    "AccountView",
    "BudgetAudit",
    "BudgetQuestion",
    "Checkpoint",
    "DeniedTurns",
    "Difference",
    "LimitChange",
    "SessionBudget",
    "Spender",
    "Spending",
    "TrimmedLedger",
    "WaitingTurn",
]


class AccountView(msgspec.Struct, frozen=True):
    """A budget. Limits are None where there is none, and so is what is available then.

    ``kept_microusd`` is set aside for a closing answer and not available. ``frozen``: it was
    overdrawn, and pays nothing until that is acknowledged. ``waiting`` turns wait for money of it;
    since ``asked_ms`` it waits for somebody's answer. At ``resets_ms`` its spending counts from
    zero again.
    """

    account: str
    limit_microusd: int | None
    posted_microusd: int
    pending_microusd: int
    available_microusd: int | None
    overrun_microusd: int = 0
    warn_percent: int = 0
    per_action_microusd: int | None = None
    per_turn_microusd: int | None = None
    kept_microusd: int = 0
    frozen: bool = False
    token_limit: int | None = None
    tokens_posted: int = 0
    tokens_pending: int = 0
    waiting: int = 0
    asked_ms: int | None = None
    period: str = "none"
    time_zone: str = ""
    resets_ms: int | None = None


class SessionBudget(msgspec.Struct, frozen=True):
    """A session's own account, and all that its spending counts against, the workspace first."""

    account: AccountView
    path: list[AccountView]


class LimitChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to change of an account; what is left out stays, and None lifts a limit.

    ``per_action_microusd`` and ``per_turn_microusd`` are for sessions only, whose own limit cannot
    be lifted. ``acknowledge`` lets an account go on that was frozen because it was overdrawn.
    """

    limit_microusd: int | msgspec.UnsetType | None = msgspec.UNSET
    token_limit: int | msgspec.UnsetType | None = msgspec.UNSET
    per_action_microusd: int | msgspec.UnsetType = msgspec.UNSET
    per_turn_microusd: int | msgspec.UnsetType | None = msgspec.UNSET
    warn_percent: int | msgspec.UnsetType = msgspec.UNSET
    acknowledge: bool = False


class WaitingTurn(msgspec.Struct, frozen=True):
    """A turn that waits, and the least it needs to go on."""

    session: str
    turn: str
    needs_microusd: int
    needs_tokens: int


class BudgetQuestion(msgspec.Struct, frozen=True):
    """An account that cannot pay, and the first turns of its line."""

    account: AccountView
    turns: list[WaitingTurn]


class DeniedTurns(msgspec.Struct, frozen=True):
    """How many turns end because of a denial."""

    turns: int


class Spender(msgspec.Struct, frozen=True):
    """A session, an agent, or a model or tool. ``calls`` counts what was paid for."""

    name: str
    cost_microusd: int
    tokens: int
    calls: int
    agent: str = ""


class Spending(msgspec.Struct, frozen=True):
    """Who spent most in a stretch of time, the dearest first; the total is of all.

    ``complete`` is false if there was too much to add up: then later entries were left out.
    """

    by: str
    since_ms: int
    until_ms: int
    total_microusd: int
    entries: int
    complete: bool
    spenders: list[Spender]


class Difference(msgspec.Struct, frozen=True):
    """A figure of an account that is not what the ledger and the open holds add up to."""

    account: str
    field: str
    expected: int
    found: int


class BudgetAudit(msgspec.Struct, frozen=True):
    """What an audit of a workspace looked at, and what is wrong: nothing, if ``ok``."""

    workspace: str
    ok: bool
    accounts: int
    holds: int
    entries: int
    differences: list[Difference]


class Checkpoint(msgspec.Struct, frozen=True):
    """The ledger entry with which a checkpoint begins, and how many accounts it carried forward."""

    checkpoint: str
    accounts: int


class TrimmedLedger(msgspec.Struct, frozen=True):
    """How many entries were dropped, and whether there are more to drop."""

    entries: int
    more: bool
