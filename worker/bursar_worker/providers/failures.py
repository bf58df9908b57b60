"""What a provider's failure means for the turn: a code, and whether another attempt may work."""

from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelOverloadedError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestTimeout,
    ModelTimeoutError,
    UserError,
)

from bursar.errors import ModelError

__all__ = ["MODEL_FAILURES", "model_error"]

MODEL_FAILURES = (AgentRunError, UserError)
"""All that pydantic-ai raises on purpose."""

_RETRYABLE_STATUS = frozenset({408, 409, 429})
_MAX_MESSAGE_CHARS = 500
# The first class that fits gives the code, so subclasses stand before their bases.
_CODES: tuple[tuple[type[ModelAPIError], str], ...] = (
    (ModelQuotaExceededError, "provider_quota"),
    (ModelRateLimitError, "model_rate_limited"),
    (ModelOverloadedError, "model_overloaded"),
    (ModelAuthenticationError, "provider_unauthorized"),
    (ModelNotFoundError, "model_not_found"),
    (ModelContextWindowExceededError, "context_too_long"),
    (ModelRequestTimeout, "model_timeout"),
    (ModelTimeoutError, "model_timeout"),
    (ModelConnectionError, "model_unreachable"),
)


def model_error(error: AgentRunError | UserError, name: str) -> ModelError:
    """Return the `ModelError` for a failure of pydantic-ai.

    ``details`` has ``model``; ``status`` only if the provider refused before its answer began, and
    so did no work; ``retry_after_s`` if the provider asked for a pause.
    """
    details: dict[str, object] = {"model": name}
    status: int | None = None
    if isinstance(error, ModelHTTPError):
        status = error.status_code
        if not error.in_stream:
            details["status"] = status
    if isinstance(error, ModelAPIError) and error.retry_after is not None:
        details["retry_after_s"] = error.retry_after
    return ModelError(
        f"{name}: {str(error)[:_MAX_MESSAGE_CHARS]}",
        code=next((code for kind, code in _CODES if isinstance(error, kind)), "model_error"),
        retryable=_is_retryable(error, status),
        **details,
    )


def _is_retryable(error: Exception, status: int | None) -> bool:
    if isinstance(error, ModelQuotaExceededError):
        return False  # it comes as a 429 too, but waiting does not fill an account
    if isinstance(error, ModelConnectionError | ModelRequestTimeout):
        return True
    return status is not None and (status in _RETRYABLE_STATUS or status >= 500)
