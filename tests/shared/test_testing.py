import pytest

from bursar.errors import ModelError
from bursar.messages import AssistantMessage, ToolCall, ToolMessage, Usage, UserMessage
from bursar.models import Model, ModelEvent, ModelRequest, ReasoningDelta, TextDelta
from bursar.testing import Reply, ScriptedModel

REQUEST = ModelRequest("m", "sys", (UserMessage("hello"),))
CALL = ToolCall("c1", "look", "{}")


async def collect(model: Model, request: ModelRequest = REQUEST) -> list[ModelEvent]:
    return [event async for event in model.stream(request)]


async def test_a_script_answers_call_by_call_and_records_the_requests() -> None:
    model = ScriptedModel(["a  b", CALL, [CALL, CALL]])
    assert await collect(model) == [TextDelta("a  "), TextDelta("b"), Usage(2, 1)]
    assert (await collect(model))[:-1] == [CALL]
    assert (await collect(model))[:-1] == [CALL, CALL]
    assert model.requests == [REQUEST] * 3


async def test_an_answer_may_be_made_from_the_request() -> None:
    model = ScriptedModel([lambda request: request.system])
    assert (await collect(model))[0] == TextDelta("sys")


async def test_errors_come_at_once_or_after_some_text() -> None:
    model = ScriptedModel([ModelError("down"), Reply(text="half", error=ModelError("cut"))])
    with pytest.raises(ModelError, match="down"):
        await collect(model)
    half = model.stream(REQUEST)
    assert await anext(half) == TextDelta("half")
    with pytest.raises(ModelError, match="cut"):
        await anext(half)


async def test_usage_is_counted_or_given() -> None:
    model = ScriptedModel([Reply(reasoning="hm", usage=Usage(9, 9)), "x"])
    assert await collect(model) == [ReasoningDelta("hm"), Usage(9, 9)]
    longer = ModelRequest(
        "m", "", (AssistantMessage(tool_calls=(CALL,)), ToolMessage("c1", "look", "12345678"))
    )
    assert (await collect(model, longer))[-1] == Usage(4, 1)


async def test_a_call_too_many_says_that_the_script_is_over() -> None:
    with pytest.raises(ModelError) as caught:
        await collect(ScriptedModel([]))
    assert caught.value.code == "script_exhausted"
