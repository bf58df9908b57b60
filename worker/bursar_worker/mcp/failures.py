"""What goes wrong with MCP servers, and how it is told."""

from collections.abc import Iterable

from bursar.errors import BursarError
from bursar_worker.mcp.cleaning import one_line

__all__ = ["LostError", "McpFailure", "reason_of", "without"]

_MAX_REASON = 300
_MIN_SECRET = 4


class McpFailure(BursarError):
    """A call has no result. The message is for the model, and goes on from the server's name."""

    default_code = "mcp_failed"


class LostError(Exception):
    """The connection is given up; the text says why."""


def reason_of(error: BaseException, secrets: Iterable[str]) -> str:
    """One short line about an error, in which no secret of the connection stands."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = str(error) if isinstance(error, LostError) else f"{type(error).__name__}: {error}"
    return one_line(without(secrets, text), _MAX_REASON)


def without(secrets: Iterable[str], text: str) -> str:
    """Take secrets out of a text that a server, or a library that knows them, has written."""
    for secret in secrets:
        if len(secret) >= _MIN_SECRET:
            text = text.replace(secret, "***")
    return text
