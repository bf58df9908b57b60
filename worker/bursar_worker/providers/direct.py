"""Models of any provider that pydantic-ai knows, called without its agent loop.

Keys and addresses come from the provider's usual variables: ``OPENAI_API_KEY`` and
``OPENAI_BASE_URL``, ``ANTHROPIC_API_KEY`` and ``ANTHROPIC_BASE_URL``, and so on. ``openai:…``
speaks the Responses API, as in pydantic-ai; servers that are compatible with OpenAI mostly want
``openai-chat:…``, which speaks Chat Completions.

The SDKs' own retries are off: the worker retries with a new hold, theirs would spend unseen money.
"""

import asyncio
from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary

from pydantic_ai import messages as theirs
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model as ProviderModel
from pydantic_ai.models import ModelRequestParameters, StreamedResponse, infer_model
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from bursar.errors import ModelError
from bursar.messages import ToolCall, Usage
from bursar.models import ModelEvent, ModelRequest, ReasoningDelta, TextDelta
from bursar_worker.providers.failures import MODEL_FAILURES, model_error
from bursar_worker.providers.wire import to_provider

__all__ = ["DirectModel"]


class DirectModel:
    """One model of a provider; see `bursar.models.Model`.

    Raises:
        ModelError: When made, if the provider is unknown, not installed or has no key.

    """

    def __init__(self, name: str, *, timeout_s: float) -> None:
        self.name = name
        self._timeout_s = timeout_s
        # A provider's connections belong to the event loop that opened them.
        self._models: WeakKeyDictionary[asyncio.AbstractEventLoop, ProviderModel] = (
            WeakKeyDictionary()
        )
        _infer(name)  # a wrong name or a missing key shows now, not in the middle of a turn

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        model = self._model()
        try:
            async with model_request_stream(
                model,
                to_provider(request),
                model_settings=self._settings(request),
                model_request_parameters=_parameters(request),
            ) as answer:
                arrived = False
                async for event in answer:
                    for translated in _translate(event):
                        arrived = True
                        yield translated
                _check_end(answer, self.name, arrived=arrived)
                usage = _usage(answer)
                if usage is not None:
                    yield usage
        except MODEL_FAILURES as error:
            raise model_error(error, self.name) from error

    async def aclose(self) -> None:
        """Close the connections of this event loop; the next call opens new ones."""
        model = self._models.pop(asyncio.get_running_loop(), None)
        if model is not None:
            async with model:  # leaving the context closes the client that pydantic-ai made
                pass

    def _model(self) -> ProviderModel:
        loop = asyncio.get_running_loop()
        if loop not in self._models:
            self._models[loop] = _infer(self.name)
        return self._models[loop]

    def _settings(self, request: ModelRequest) -> ModelSettings:
        settings = ModelSettings(
            max_tokens=request.max_output_tokens, max_retries=0, timeout=self._timeout_s
        )
        if request.temperature is not None:
            settings["temperature"] = request.temperature
        return settings


def _infer(name: str) -> ProviderModel:
    try:
        return infer_model(name)
    except ImportError as error:
        raise ModelError(
            f"model {name!r} needs another package: {error}", code="provider_missing", model=name
        ) from error
    except UserError as error:
        unknown = str(error).startswith("Unknown")
        code = "model_unknown" if unknown else "provider_unconfigured"
        raise ModelError(f"model {name!r}: {error}", code=code, model=name) from error


def _parameters(request: ModelRequest) -> ModelRequestParameters:
    return ModelRequestParameters(
        function_tools=[
            ToolDefinition(
                name=tool.name,
                description=tool.description or None,
                parameters_json_schema=tool.parameters,
                # Strict mode rewrites schemas: optional arguments would become required.
                strict=False,
            )
            for tool in request.tools
        ]
    )


def _translate(event: theirs.ModelResponseStreamEvent) -> list[ModelEvent]:
    match event:
        case theirs.PartStartEvent(part=theirs.TextPart(content=text)) if text:
            return [TextDelta(text)]
        case theirs.PartDeltaEvent(delta=theirs.TextPartDelta(content_delta=text)) if text:
            return [TextDelta(text)]
        case theirs.PartStartEvent(part=theirs.ThinkingPart(content=text)) if text:
            return [ReasoningDelta(text)]
        case theirs.PartDeltaEvent(delta=theirs.ThinkingPartDelta(content_delta=text)) if text:
            return [ReasoningDelta(text)]
        case theirs.PartEndEvent(part=theirs.ToolCallPart() as part):
            return [ToolCall(part.tool_call_id, part.tool_name, _arguments(part))]
        case _:
            return []


def _arguments(part: theirs.ToolCallPart) -> str:
    """Return the text as the model wrote it, malformed or not; nothing means no arguments."""
    if isinstance(part.args, str):
        return part.args if part.args.strip() else "{}"
    return part.args_as_json_str()


def _check_end(answer: StreamedResponse, name: str, *, arrived: bool) -> None:
    """Refuse an answer that only looks whole: its usage would be wrong, and so would its cost."""
    if answer.finish_reason is None:
        raise ModelError(
            f"{name} closed the stream in the middle of its answer",
            code="model_stream_cut",
            retryable=not arrived,
        )
    if answer.finish_reason == "content_filter" and not arrived:
        raise ModelError(f"{name} refused to answer", code="model_refused")


def _usage(answer: StreamedResponse) -> Usage | None:
    """Return the reported usage; None if there is none, and then what was held is charged."""
    usage = answer.usage
    if not usage.input_tokens and not usage.output_tokens:
        return None
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.output_reasoning_tokens,
    )
