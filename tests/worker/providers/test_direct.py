"""Real calls over real sockets: what the providers get to see, and what comes of their answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bursar.errors import ModelError
from bursar.messages import AssistantMessage, ToolCall, ToolMessage, Usage, UserMessage
from bursar.models import ModelEvent, ModelRequest, ReasoningDelta, TextDelta, ToolSpec
from bursar.settings import WorkerSettings
from bursar_worker.providers import resolve
from bursar_worker.providers.direct import DirectModel
from support.provider_server import (
    Answer,
    Provider,
    anthropic,
    openai_chat,
    openai_responses,
    provider,
)

LOOK = ToolSpec(
    "look",
    "Look at a place.",
    {
        "type": "object",
        "properties": {"place": {"type": "string"}, "far": {"type": "boolean", "default": False}},
        "required": ["place"],
        "additionalProperties": False,
    },
)
HELLO = ModelRequest("m", "Be brief.", (UserMessage("hello"),), (LOOK,), max_output_tokens=77)
CONVERSATION = ModelRequest(
    "m",
    "Be brief.",
    (
        UserMessage("look at the sea"),
        AssistantMessage(
            "I look.", "secret thought", (ToolCall("c1", "look", '{"place": "sea"}'),)
        ),
        ToolMessage("c1", "look", "no such place", is_error=True),
        AssistantMessage(tool_calls=(ToolCall("c2", "look", '{"place": '),)),
        ToolMessage("c2", "look", "arguments: expected JSON", is_error=True),
        UserMessage("never mind"),
    ),
    (LOOK,),
)
TEXT = anthropic(({"type": "text", "text": ""}, [{"type": "text_delta", "text": "Hi"}]))


@pytest.fixture(params=["openai-chat:gpt-x", "anthropic:claude-x"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-openai")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key-of-anthropic")


@asynccontextmanager
async def serving(
    name: str, monkeypatch: pytest.MonkeyPatch, *answers: Answer
) -> AsyncIterator[tuple[DirectModel, Provider]]:
    async with provider(*answers) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        model = DirectModel(name, timeout_s=20)
        try:
            yield model, server
        finally:
            await model.aclose()


async def collect(model: DirectModel, request: ModelRequest = HELLO) -> list[ModelEvent]:
    return [event async for event in model.stream(request)]


async def fail(model: DirectModel) -> tuple[list[ModelEvent], ModelError]:
    seen: list[ModelEvent] = []
    try:
        async for event in model.stream(HELLO):
            seen.append(event)  # noqa: PERF401
    except ModelError as error:
        return seen, error
    raise AssertionError(f"no error after {seen}")


async def test_openai_text_reasoning_and_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = openai_chat({"reasoning_content": "hm"}, {"content": "Hel"}, {"content": "lo"})
    async with serving("openai-chat:gpt-x", monkeypatch, answer) as (model, _):
        assert await collect(model) == [
            ReasoningDelta("hm"),
            TextDelta("Hel"),
            TextDelta("lo"),
            Usage(30, 12, cache_read_tokens=10, reasoning_tokens=5),
        ]


async def test_openai_without_more_speaks_the_responses_api(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = openai_responses("Hel", "lo")
    async with serving("openai:gpt-x", monkeypatch, answer) as (model, server):
        assert await collect(model) == [
            TextDelta("Hel"),
            TextDelta("lo"),
            Usage(30, 12, cache_read_tokens=10, reasoning_tokens=5),
        ]
    path, _, asked = server.asked[0]
    assert path == "/v1/responses"
    assert asked["max_output_tokens"] == 77
    assert asked["tools"][0]["parameters"] == LOOK.parameters


async def test_openai_tool_calls_keep_the_arguments_as_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def part(index: int, arguments: str, **head: str) -> dict[str, Any]:
        function = {"arguments": arguments} | ({"name": "look"} if head else {})
        return {"tool_calls": [{"index": index, "function": function, "type": "function"} | head]}

    answer = openai_chat(
        {"content": "I look."},
        part(0, "", id="c1"),
        part(0, '{"place":  "s'),
        part(0, 'ea"}'),
        part(1, '{"place": ', id="c2"),
        part(2, "", id="c3"),
        finish="tool_calls",
    )
    async with serving("openai-chat:gpt-x", monkeypatch, answer) as (model, _):
        events = await collect(model)
    assert events[:-1] == [
        TextDelta("I look."),
        ToolCall("c1", "look", '{"place":  "sea"}'),
        ToolCall("c2", "look", '{"place": '),
        ToolCall("c3", "look", "{}"),
    ]


async def test_anthropic_text_thinking_tool_calls_and_usage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = anthropic(
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [{"type": "thinking_delta", "thinking": "hm"}],
        ),
        (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": "Hel"}, {"type": "text_delta", "text": "lo"}],
        ),
        (
            {"type": "tool_use", "id": "t1", "name": "look", "input": {}},
            [
                {"type": "input_json_delta", "partial_json": '{"place"'},
                {"type": "input_json_delta", "partial_json": ': "sea"}'},
            ],
        ),
    )
    async with serving("anthropic:claude-x", monkeypatch, answer) as (model, _):
        assert await collect(model) == [
            ReasoningDelta("hm"),
            TextDelta("Hel"),
            TextDelta("lo"),
            ToolCall("t1", "look", '{"place": "sea"}'),
            Usage(30, 15, cache_read_tokens=7, cache_write_tokens=3),
        ]


async def test_openai_gets_the_conversation_the_tools_and_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [openai_chat({"content": "x"}), openai_chat({"content": "x"})]
    async with serving("openai-chat:gpt-x", monkeypatch, *answers) as (model, server):
        await collect(model)
        await collect(model, CONVERSATION)
    (path, headers, first), (_, _, second) = server.asked
    assert (path, headers["authorization"]) == ("/v1/chat/completions", "Bearer key-of-openai")
    assert first["max_completion_tokens"] == 77
    assert first["stream_options"] == {"include_usage": True}
    assert first["tools"][0]["function"]["parameters"] == LOOK.parameters
    assert "temperature" not in first
    assert [message["role"] for message in second["messages"]] == [
        "system", "user", "assistant", "tool", "assistant", "tool", "user",
    ]  # fmt: skip
    assert second["messages"][3]["tool_call_id"] == "c1"
    assert "secret thought" not in str(second)


async def test_anthropic_gets_the_conversation_the_tools_and_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving("anthropic:claude-x", monkeypatch, TEXT, TEXT) as (model, server):
        await collect(model)
        await collect(model, CONVERSATION)
    (path, headers, first), (_, _, second) = server.asked
    assert path.startswith("/v1/messages")
    # Which header carries the key is the SDK's choice and has changed between its versions.
    assert "key-of-anthropic" in headers.get("x-api-key", "") + headers.get("authorization", "")
    assert first["max_tokens"] == 77
    assert "Be brief." in str(first["system"])
    assert first["tools"][0]["input_schema"] == LOOK.parameters
    results = [
        block
        for message in second["messages"]
        for block in message["content"]
        if isinstance(block, dict) and block["type"] == "tool_result"
    ]
    assert [(r["tool_use_id"], r["is_error"]) for r in results] == [("c1", True), ("c2", True)]
    assert "secret thought" not in str(second)


async def test_the_temperature_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    request = ModelRequest("m", "", (UserMessage("hi"),), temperature=0.5)
    async with serving("anthropic:claude-x", monkeypatch, TEXT) as (model, server):
        await collect(model, request)
    assert server.asked[0][2]["temperature"] == 0.5


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "model_error", False),
        (401, "provider_unauthorized", False),
        (404, "model_not_found", False),
        (408, "model_error", True),
        (409, "model_error", True),
        (429, "model_rate_limited", True),
        (500, "model_error", True),
        (503, "model_error", True),
    ],
)
async def test_a_refused_call_says_whether_to_try_again(
    name: str, monkeypatch: pytest.MonkeyPatch, status: int, code: str, *, retryable: bool
) -> None:
    body = {"type": "error", "error": {"type": "some_error", "message": "not this time"}}
    async with serving(name, monkeypatch, Answer(status, body=body)) as (model, server):
        seen, error = await fail(model)
    assert (seen, error.code, error.retryable) == ([], code, retryable)
    assert error.details["status"] == status
    assert "not this time" in error.message
    assert "key-of" not in error.message
    assert len(server.asked) == 1, "the SDK must not retry by itself"


async def test_the_pause_that_a_provider_asks_for_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    answer = Answer(429, headers={"retry-after": "7"}, body=body)
    async with serving(name, monkeypatch, answer) as (model, _):
        _, error = await fail(model)
    assert error.details["retry_after_s"] == 7


async def test_an_exhausted_account_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"error": {"code": "insufficient_quota", "type": "insufficient_quota", "message": "no"}}
    async with serving("openai-chat:gpt-x", monkeypatch, Answer(429, body=body)) as (model, _):
        _, error = await fail(model)
    assert (error.code, error.retryable) == ("provider_quota", False)


async def test_a_stream_that_breaks_keeps_its_text_and_is_no_answer(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = openai_chat({"content": "Hi"}, {"content": " you"}) if "openai" in name else TEXT
    broken = Answer(events=whole.events[:3], breaks=True)
    async with serving(name, monkeypatch, broken) as (model, _):
        seen, error = await fail(model)
    assert TextDelta("Hi") in seen
    assert not any(isinstance(event, Usage) for event in seen)
    assert (error.code, error.retryable) == ("model_unreachable", True)
    assert "status" not in error.details


async def test_a_stream_that_ends_early_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    early = Answer(events=TEXT.events[:3])
    async with serving("anthropic:claude-x", monkeypatch, early) as (model, _):
        seen, error = await fail(model)
    assert seen == [TextDelta("Hi")]
    assert (error.code, error.retryable) == ("model_stream_cut", False)


async def test_an_error_inside_the_stream_is_not_taken_for_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    answer = Answer(events=[*TEXT.events[:1], ("error", overloaded)])
    async with serving("anthropic:claude-x", monkeypatch, answer) as (model, _):
        _, error = await fail(model)
    assert (error.code, error.retryable) == ("model_overloaded", True)
    assert "status" not in error.details, "the provider may have worked for it"


async def test_a_provider_that_reports_no_usage_gets_none_made_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = openai_chat({"content": "Hi"}, usage=False)
    async with serving("openai-chat:gpt-x", monkeypatch, answer) as (model, _):
        assert await collect(model) == [TextDelta("Hi")]


async def test_a_server_that_is_not_there_may_come_back(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    model = DirectModel(name, timeout_s=5)
    _, error = await fail(model)
    await model.aclose()
    assert (error.code, error.retryable) == ("model_unreachable", True)


@pytest.mark.parametrize(
    ("name", "code"),
    [("nobody:m", "model_unknown"), ("groq:m", "provider_missing")],
)
def test_a_model_that_cannot_be_called_is_refused_when_it_is_made(name: str, code: str) -> None:
    with pytest.raises(ModelError) as caught:
        DirectModel(name, timeout_s=5)
    assert caught.value.code == code


def test_a_missing_key_is_told_when_the_model_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(ModelError) as caught:
        DirectModel("anthropic:claude-x", timeout_s=5)
    assert caught.value.code == "provider_unconfigured"
    assert "ANTHROPIC_API_KEY" in caught.value.message


def test_names_of_providers_resolve_to_direct_models() -> None:
    assert isinstance(resolve("openai-chat:gpt-x", WorkerSettings()), DirectModel)
