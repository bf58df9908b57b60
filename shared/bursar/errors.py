"""Every error that Bursar raises on purpose.

    BursarError
    ├── InvalidInput            a value from outside is wrong; names the field
    ├── NotFound                no such workspace, session, turn … in this workspace
    ├── Conflict                the thing exists, but not in a state that allows this
    │   ├── TreeCancelled       the turn was cancelled, or one above it: stop
    │   └── WorkspaceKilled     it takes nothing until it is revived
    ├── LimitReached            a cap or a size limit; try again later or with less
    ├── BudgetRefused           an account on the path refused; names it
    ├── Denied                  who you are is not enough
    ├── Fenced                  another worker drives this session now: stop
    ├── StoreUnavailable        Redis did not answer; the outcome of the call is unknown
    ├── StoreUnfit              Redis answers, but must not be used as it is configured
    ├── GatewayUnreachable      a client got no answer; the outcome of the call is unknown
    └── ModelError              a model call failed; ``retryable`` when before its first token

``code`` is stable: it is what clients match on, in HTTP problems and in events. The gateway maps
classes to HTTP in one place (``bursar_gateway.problems``).
"""

from typing import Any, ClassVar

__all__ = [
    "BudgetRefused",
    "BursarError",
    "Conflict",
    "Denied",
    "Fenced",
    "GatewayUnreachable",
    "InvalidInput",
    "LimitReached",
    "ModelError",
    "NotFound",
    "StoreUnavailable",
    "StoreUnfit",
    "TreeCancelled",
    "WorkspaceKilled",
]


class BursarError(Exception):
    """Base of all errors below. ``str(error)`` is a sentence for people."""

    default_code: ClassVar[str] = "internal"
    field: str = ""
    status: int = 0
    """HTTP status of an error that came through a gateway."""

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details: dict[str, Any] = details


class InvalidInput(BursarError):
    """``field`` is a path such as ``limit_microusd`` or ``inputs[2].text``."""

    default_code = "invalid_input"

    def __init__(
        self, message: str, *, field: str, code: str | None = None, **details: Any
    ) -> None:
        super().__init__(message, code=code, **details)
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class NotFound(BursarError):
    default_code = "not_found"


class Conflict(BursarError):
    default_code = "conflict"


class TreeCancelled(Conflict):
    default_code = "tree_cancelled"


class WorkspaceKilled(Conflict):
    default_code = "workspace_killed"


class LimitReached(BursarError):
    """``details`` may have ``retry_after_s``: when it is worth to try again."""

    default_code = "limit_reached"


class Denied(BursarError):
    default_code = "denied"


class Fenced(BursarError):
    """The session has another owner (or none): every further write would be refused too."""

    default_code = "fenced"


class StoreUnavailable(BursarError):
    default_code = "store_unavailable"


class StoreUnfit(BursarError):
    default_code = "store_unfit"


class GatewayUnreachable(BursarError):
    default_code = "gateway_unreachable"


class BudgetRefused(BursarError):
    """A hold was refused and nothing was changed anywhere.

    ``details`` has ``account`` (``ws``, ``user:<id>`` or ``s:<sid>``), ``kind`` (``per_action``,
    ``per_turn``, ``frozen``, ``contended`` or ``exhausted``), ``unit`` (``microusd`` or ``tokens``)
    and in that unit, such as ``limit_microusd``, ``limit posted pending requested available``.
    """

    default_code = "budget_exhausted"


class ModelError(BursarError):
    """A model call failed. ``retryable`` says that a further attempt may work."""

    default_code = "model_error"

    def __init__(
        self, message: str, *, code: str | None = None, retryable: bool = False, **details: Any
    ) -> None:
        super().__init__(message, code=code, **details)
        self.retryable = retryable
