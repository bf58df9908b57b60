"""The ``@hook`` decorator and what it makes of a function."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args, overload

from bursar.errors import InvalidInput
from bursar.gate.patterns import Action, Pattern
from bursar.hooks.contexts import (
    RESULTS,
    Allow,
    Ask,
    Block,
    HookContext,
    HookEvent,
    Modify,
    PostTool,
    PreTool,
    SessionEnd,
    SessionStart,
    ToolFailure,
    UserPrompt,
)
from bursar.tools.threads import run_in_thread

__all__ = ["Hook", "OnError", "hook"]

OnError = Literal["block", "ignore"]
C = TypeVar("C", bound=HookContext)
Returns = TypeVar("Returns")

_MAX_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A function with the event that it is for. Made by `hook`; calling it calls the function."""

    event: HookEvent
    name: str
    function: Callable[[Any], Any] = field(repr=False)
    tools: tuple[str, ...] | None
    priority: int
    on_error: OnError
    timeout_s: float
    _patterns: tuple[Pattern, ...] = field(repr=False, compare=False)

    def __call__(self, context: Any) -> Any:
        return self.function(context)

    def is_about(self, *actions: Action) -> bool:
        """Whether it looks at a call: of one of its tools, or that does one of its actions."""
        if self.tools is None:
            return True
        return any(pattern.covers(action) for pattern in self._patterns for action in actions)

    async def run(self, context: HookContext) -> Any:
        """Call the function and wait for it. One that is not async runs in a thread.

        A thread cannot be stopped: after a timeout it runs on, unwatched, to its end.
        """
        if inspect.iscoroutinefunction(inspect.unwrap(self.function)):
            return await self.function(context)

        def call(context: HookContext) -> Any:
            return self.function(context)

        call.__name__ = self.name  # which the thread is called after
        result = await run_in_thread(call, {"context": context})
        return await result if inspect.isawaitable(result) else result

    def manifest(self) -> list[Any]:
        """What makes it behave as it does, as far as that can be written down."""
        home = f"{self.function.__module__}.{self.function.__qualname__}"
        tools = None if self.tools is None else list(self.tools)
        return [self.event, self.name, home, tools, self.priority, self.on_error, self.timeout_s]


_May = Callable[[C], Returns | Awaitable[Returns]]


@overload
def hook(
    event: Literal["pre_tool"],
    *,
    tools: str | Sequence[str] | None = ...,
    priority: int = ...,
    on_error: OnError = ...,
    timeout_s: float = ...,
) -> Callable[[_May[PreTool, Block | Modify | Ask | Allow | None]], Hook]: ...
@overload
def hook(
    event: Literal["post_tool"],
    *,
    tools: str | Sequence[str] | None = ...,
    priority: int = ...,
    on_error: OnError = ...,
    timeout_s: float = ...,
) -> Callable[[_May[PostTool, Block | Modify | None]], Hook]: ...
@overload
def hook(
    event: Literal["tool_error"],
    *,
    tools: str | Sequence[str] | None = ...,
    priority: int = ...,
    timeout_s: float = ...,
) -> Callable[[_May[ToolFailure, Modify | None]], Hook]: ...
@overload
def hook(
    event: Literal["user_prompt"],
    *,
    priority: int = ...,
    on_error: OnError = ...,
    timeout_s: float = ...,
) -> Callable[[_May[UserPrompt, Block | Modify | None]], Hook]: ...
@overload
def hook(
    event: Literal["session_start"],
    *,
    priority: int = ...,
    on_error: OnError = ...,
    timeout_s: float = ...,
) -> Callable[[_May[SessionStart, Block | None]], Hook]: ...
@overload
def hook(
    event: Literal["session_end"], *, priority: int = ..., timeout_s: float = ...
) -> Callable[[_May[SessionEnd, None]], Hook]: ...
def hook(
    event: HookEvent,
    *,
    tools: str | Sequence[str] | None = None,
    priority: int = 100,
    on_error: OnError | None = None,
    timeout_s: float = 5,
) -> Any:
    """Make a function a hook of ``event``; it is named after the function.

    Args:
        tools: Names of tools (``write_report``) or patterns, of tools (``tool://github/*``) or of
            what calls do (``exec://git **``, ``file+write://**``); all calls if not given.
        priority: Lower runs earlier.
        on_error: What becomes of a hook that raises, takes too long or returns what it may not:
            ``block`` as if it had blocked, ``ignore`` as if it were not there.
        timeout_s: How long it may take, at most 60 seconds.

    Raises:
        InvalidInput: Naming the hook and the option that is wrong.

    """

    def make(function: Callable[[Any], Any]) -> Hook:
        name = getattr(function, "__name__", "")
        if not callable(function) or isinstance(function, type) or not name:
            raise InvalidInput("@hook goes on a function", field=repr(function))
        _check_options(name, event, tools, on_error, timeout_s)
        try:
            inspect.signature(function).bind(None)
        except (TypeError, ValueError):
            raise InvalidInput("expected a function of one parameter", field=name) from None
        named = None if tools is None else (tools,) if isinstance(tools, str) else tuple(tools)
        return Hook(
            event=event,
            name=name,
            function=function,
            tools=named,
            priority=priority,
            on_error=on_error or ("block" if event in {"pre_tool", "user_prompt"} else "ignore"),
            timeout_s=timeout_s,
            _patterns=_patterns(named or (), name),
        )

    return make


def _check_options(
    name: str, event: HookEvent, tools: Any, on_error: str | None, timeout_s: float
) -> None:
    events = get_args(HookEvent)
    if event not in events:
        raise InvalidInput(f"expected one of {', '.join(events)}", field=f"{name}.event")
    if tools is not None and "tool" not in event:
        raise InvalidInput(f"{event} is about no tools", field=f"{name}.tools")
    if on_error not in {None, *get_args(OnError)}:
        raise InvalidInput("expected block or ignore", field=f"{name}.on_error")
    if on_error == "block" and Block not in RESULTS[event]:
        raise InvalidInput(f"{event} has nothing to block any more", field=f"{name}.on_error")
    if not 0 < timeout_s <= _MAX_TIMEOUT_S:
        expected = f"expected more than 0 and at most {_MAX_TIMEOUT_S} seconds"
        raise InvalidInput(expected, field=f"{name}.timeout_s")


def _patterns(tools: tuple[str, ...], name: str) -> tuple[Pattern, ...]:
    found = []
    for index, text in enumerate(tools):
        try:
            found.append(Pattern(text))
        except InvalidInput as error:
            raise InvalidInput(error.message, field=f"{name}.tools[{index}]") from None
    return tuple(found)
