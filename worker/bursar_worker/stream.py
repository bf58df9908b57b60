"""Reading a model's answer: what it yields is checked, and so is that it ends when it should."""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from bursar.errors import ModelError
from bursar.failpoints import failpoint
from bursar.messages import ToolCall, Usage, well_formed
from bursar.models import Model, ModelRequest, ReasoningDelta, TextDelta
from bursar_worker.stopping import asked_to_stop

__all__ = ["AnswerStream"]

_CHARS_A_TOKEN = 16  # far above what any language needs; more than that is more than was paid for
_SLACK_CHARS = 4096  # so that a short answer of long words is not taken for an endless one
_MAX_CALLS = 256  # bounds one commit; how many of them run is a setting
_MAX_TOKENS = 10**12

logger = logging.getLogger(__name__)


class AnswerStream:
    """What has arrived of an answer so far.

    Args:
        on_delta: told of each piece of text, with the kind of its event.

    """

    def __init__(self, on_delta: Callable[[str, str], None] | None = None) -> None:
        self._on_delta = on_delta
        self.texts: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[ToolCall] = []
        self.usage: Usage | None = None
        self._size = 0  # characters of text, reasoning and calls

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def started(self) -> bool:
        return bool(self.texts or self.reasoning or self.calls)

    async def read(self, model: Model, request: ModelRequest, timeout_s: float) -> None:
        """Read the whole answer.

        Raises:
            ModelError: the model failed, took too long, or said more than it was asked for.

        """
        try:
            async with asyncio.timeout(timeout_s):
                async for event in model.stream(request):
                    failpoint("C7")
                    self._take(event)
                    self._check_bound(request.max_output_tokens)
        except TimeoutError:
            raise ModelError(f"no whole answer in {timeout_s:g} s", code="model_timeout") from None
        except ModelError:
            raise
        except asyncio.CancelledError as error:
            if asked_to_stop():
                raise
            raise ModelError("the model's own task was cancelled", code="model_error") from error
        except (Exception, SystemExit) as error:
            # A model object is user code: whatever it raises ends this turn, not the worker.
            logger.exception("model %s raised", request.model)
            raise ModelError(f"{type(error).__name__}: {error}", code="model_error") from error

    def _take(self, event: object) -> None:
        """Note one event of the stream. What a model object yields is not trusted to be one."""
        if isinstance(event, TextDelta):
            self._add(self.texts, "text.delta", event.text)
        elif isinstance(event, ReasoningDelta):
            self._add(self.reasoning, "reasoning.delta", event.text)
        elif isinstance(event, ToolCall) and len(self.calls) < _MAX_CALLS:
            self.calls.append(event)
            self._size += len(event.name) + len(event.arguments)
        elif isinstance(event, ToolCall):
            raise ModelError(f"more than {_MAX_CALLS} tool calls in one answer")
        elif isinstance(event, Usage) and _plausible(event):
            self.usage = event
        else:
            raise ModelError(f"the model yielded {event!r:.200}, which is no event of a model")

    def _add(self, pieces: list[str], kind: str, text: str) -> None:
        pieces.append(well_formed(text))
        self._size += len(text)
        if self._on_delta is not None:
            self._on_delta(kind, pieces[-1])

    def _check_bound(self, max_output_tokens: int) -> None:
        """Stop reading when more came than was paid for: the provider does not keep to it."""
        counted = self.usage.output_tokens if self.usage else 0
        if (
            counted > max_output_tokens
            or self._size > max_output_tokens * _CHARS_A_TOKEN + _SLACK_CHARS
        ):
            raise ModelError(
                f"the answer was longer than the {max_output_tokens} tokens that were asked for",
                code="output_bound",
            )


def _plausible(usage: Usage) -> bool:
    return all(
        isinstance(count, int) and 0 <= count <= _MAX_TOKENS
        for count in msgspec.structs.astuple(usage)
    )
