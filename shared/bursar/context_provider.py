"""What an agent is told of a session before its first step, by a function of yours.

async def who_asks(ctx: ContextRequest) -> str:
    return f"The user is {await names.look_up(ctx.user)}."

Agent(…, context=who_asks)
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bursar.errors import InvalidInput
from bursar.tools.threads import run_in_thread

__all__ = ["ContextProvider", "ContextRequest", "ask_provider", "check_provider", "home_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRequest:
    """Whose session it is. ``workspace_path`` is empty if it was opened without one."""

    workspace: str
    session: str
    user: str
    agent: str
    workspace_path: str
    turn: str
    """The turn at whose start it is asked."""


ContextProvider = Callable[[ContextRequest], str | Awaitable[str]]


def check_provider(provider: Any) -> None:
    """Refuse what cannot be called with one request.

    Raises:
        InvalidInput: ``agent.context``.

    """
    if not callable(provider) or isinstance(provider, type):
        raise InvalidInput("expected a function of one parameter", field="agent.context")
    try:
        inspect.signature(provider).bind(None)
    except (TypeError, ValueError):
        raise InvalidInput("expected a function of one parameter", field="agent.context") from None


async def ask_provider(provider: ContextProvider, request: ContextRequest) -> Any:
    """Call a provider and wait for it. One that is not async runs in a thread.

    A thread cannot be stopped: after a timeout it runs on, unwatched, to its end.
    """
    result: Any
    if inspect.iscoroutinefunction(inspect.unwrap(provider)):
        result = provider(request)
    else:

        def call(request: ContextRequest) -> Any:
            return provider(request)

        call.__name__ = home_of(provider)  # which the thread is called after
        result = await run_in_thread(call, {"request": request})
    return await result if inspect.isawaitable(result) else result


def home_of(provider: ContextProvider) -> str:
    """Where a provider is defined: its module and name, or those of its class."""
    named = provider if hasattr(provider, "__qualname__") else type(provider)
    return f"{named.__module__}.{named.__qualname__}"
