"""The ``@tool`` decorator and what it makes of a function."""

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

import msgspec

from bursar.context import ToolContext
from bursar.errors import InvalidInput
from bursar.gate.patterns import Action, tool_action
from bursar.gate.policy import EFFECTS, RISKS, Effect, Risk
from bursar.models import ToolSpec
from bursar.money import microusd_from_usd
from bursar.tools.signature import read_signature
from bursar.tools.threads import run_in_thread

__all__ = ["FALLBACKS", "ArgumentReader", "Fallback", "Tool", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

Fallback = Literal["block", "skip", "safe_default", "queue"]
"""``block`` goes on waiting, ``skip`` tells the model that nobody answered, ``safe_default`` gives
a declared result, and ``queue`` lets the turn go on: once somebody approves, the call runs, and its
result is a new input to the session."""
FALLBACKS: tuple[Fallback, ...] = ("block", "skip", "safe_default", "queue")

ActionSource = str | Callable[[dict[str, Any]], str]


class ArgumentReader(Protocol):
    """Reads a call's arguments: made of a function's hints, or of a JSON Schema from elsewhere.

    ``context`` is the keyword under which the function wants the context, if it wants it; `parse`
    returns keyword arguments, and raises `InvalidInput` with the place of what is wrong.
    """

    @property
    def context(self) -> str | None: ...

    def parse(self, arguments_json: str) -> dict[str, Any]: ...


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool(Generic[P, R]):
    """A function that a model may call. Made by `tool`; calling it calls the function."""

    name: str
    description: str
    function: Callable[P, R] = field(repr=False)
    effect: Effect
    risk: Risk
    cost_microusd: int
    """Charged for each call that ran, also when it failed."""
    timeout_s: float | None
    """None takes the worker's ``tool_timeout_s``."""
    version: str
    unanswered: Fallback | None
    """What becomes of a call about which people were asked and did not answer; None takes the
    worker's setting."""
    safe_default: Any
    """The result of such a call when ``unanswered`` is ``safe_default``."""
    spec: ToolSpec = field(repr=False)
    _signature: ArgumentReader = field(repr=False)
    _action: ActionSource | None = field(default=None, repr=False)
    server: str = "local"
    """The MCP server that the tool is of; ``local`` for functions of the agent's own."""
    suspect: str = ""
    """Why a person has to look at each call of it first, whatever the rules say; empty for none."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def parse(self, arguments_json: str) -> dict[str, Any]:
        """Return what the model wrote as keyword arguments, strictly checked.

        Raises:
            InvalidInput: ``field`` is the place (``limit``, ``filter.tags[2]``), or ``arguments``
                when the text is no JSON object at all.

        """
        return self._signature.parse(arguments_json)

    def action(self, arguments: dict[str, Any]) -> str:
        """Return what the call is going to do, which is what policies and people judge.

        Raises:
            InvalidInput: The tool's own ``action`` cannot say it for these arguments.

        """
        if self._action is None:
            return tool_action(self.server, self.name)
        if isinstance(self._action, str):
            return self._action
        try:
            return str(Action.parse(self._action(arguments)))
        except InvalidInput:
            raise
        except Exception as error:
            # User code; a call that nobody can judge must not run, and must not end the turn.
            reason = f"cannot be told: {type(error).__name__}: {error}"
            raise InvalidInput(reason, field="action") from error

    async def run(self, ctx: ToolContext, arguments: dict[str, Any]) -> Any:
        """Call the function and wait for it. One that is not async runs in a thread.

        A thread cannot be stopped: after a timeout or a cancel it runs on, unwatched, to its end.
        """
        named: dict[str, Any] = dict(arguments)
        if self._signature.context is not None:
            named[self._signature.context] = ctx
        function: Callable[..., Any] = self.function
        if inspect.iscoroutinefunction(inspect.unwrap(function)):
            return await function(**named)
        result = await run_in_thread(function, named)
        return await result if inspect.isawaitable(result) else result

    @property
    def manifest_hash(self) -> str:
        """SHA-256 over all that an approval of this tool relies on; changes void approvals."""
        manifest = {
            "name": self.name,
            "parameters": self.spec.parameters,
            "effect": self.effect,
            "risk": self.risk,
            "version": self.version,
            "cost_microusd": self.cost_microusd,
            "server": self.server,
        }
        return hashlib.sha256(msgspec.json.encode(manifest, order="deterministic")).hexdigest()


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    effect: Effect = ...,
    risk: Risk = ...,
    cost_usd: str | int | Decimal = ...,
    timeout_s: float | None = ...,
    name: str | None = ...,
    action: ActionSource | None = ...,
    version: str = ...,
    unanswered: Fallback | None = ...,
    safe_default: Any = ...,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    effect: Effect = "at_most_once",
    risk: Risk = "low",
    cost_usd: str | int | Decimal = 0,
    timeout_s: float | None = None,
    name: str | None = None,
    action: ActionSource | None = None,
    version: str = "1",
    unanswered: Fallback | None = None,
    safe_default: Any = None,
) -> Any:
    """Make a function a tool; its docstring is the description that the model reads.

    Args:
        function: Async or not. A first parameter named ``ctx`` or hinted `ToolContext` gets the
            context; all others need hints, from which the JSON Schema is made, with descriptions
            from ``Annotated[int, msgspec.Meta(description="…")]``.
        effect: ``pure`` changes nothing and needs no permission; ``idempotent`` may be repeated
            after a crash; ``at_most_once`` is never repeated.
        risk: Shown to people who approve. ``critical`` is always asked, whatever the policy says.
        cost_usd: What one call costs, as ``"0.002"``. Held before the call and charged after it.
        timeout_s: Seconds until the call is cut off.
        name: As the model sees it; the function's name by default.
        action: What the call does, as an action such as ``"net://api.example.org:443"``, or a
            function of the arguments that returns it. By default ``tool://local/<name>``.
        version: Change it when the tool does something else than before under the same schema.
        unanswered: What happens when people are asked about a call and nobody answers in time.
        safe_default: The result of such a call, for ``unanswered="safe_default"``.

    Raises:
        InvalidInput: Naming the function and the parameter or option that is wrong.

    """

    def make(target: Callable[..., Any]) -> Tool[..., Any]:
        if isinstance(target, type) or not callable(target):
            raise InvalidInput("@tool goes on a function", field=repr(target))
        tool_name: str = getattr(target, "__name__", "") if name is None else name
        if not _NAME.fullmatch(tool_name):
            raise InvalidInput("expected 1-64 letters, digits, '_' or '-'", field=f"{tool_name!r}")
        _check_options(tool_name, effect, risk, timeout_s, action)
        if unanswered is not None and unanswered not in FALLBACKS:
            raise InvalidInput(
                f"expected one of {', '.join(FALLBACKS)}", field=f"{tool_name}.unanswered"
            )
        signature = read_signature(target, tool_name)
        description = inspect.getdoc(target) or ""
        return Tool(
            name=tool_name,
            description=description,
            function=target,
            effect=effect,
            risk=risk,
            cost_microusd=microusd_from_usd(cost_usd, field=f"{tool_name}.cost_usd"),
            timeout_s=timeout_s,
            version=version,
            unanswered=unanswered,
            safe_default=safe_default,
            spec=ToolSpec(tool_name, description, signature.schema),
            _signature=signature,
            _action=action,
        )

    return make if function is None else make(function)


def _check_options(
    name: str, effect: str, risk: str, timeout_s: float | None, action: ActionSource | None
) -> None:
    if effect not in EFFECTS:
        raise InvalidInput(f"expected one of {', '.join(EFFECTS)}", field=f"{name}.effect")
    if risk not in RISKS:
        raise InvalidInput(f"expected one of {', '.join(RISKS)}", field=f"{name}.risk")
    if timeout_s is not None and not timeout_s > 0:
        raise InvalidInput("expected more than 0 seconds", field=f"{name}.timeout_s")
    if isinstance(action, str):
        try:
            Action.parse(action)
        except InvalidInput as error:
            raise InvalidInput(error.message, field=f"{name}.action") from None
