"""The `@hook` decorator: what it takes, and what it makes of a function."""

import threading
from typing import Any

import pytest

from bursar import Agent
from bursar.errors import InvalidInput
from bursar.gate.patterns import Action
from bursar.hooks import RESULTS, Block, Hook, PreTool, SessionEnd, UserPrompt, hook

PROMPT = UserPrompt(workspace="w", session="s", user="u", agent="a", text="hi", custom={})


@hook("user_prompt")
async def asynchronous(prompt: UserPrompt) -> Block:
    return Block(prompt.text)


@hook("user_prompt", priority=5, timeout_s=1)
def plain(prompt: UserPrompt) -> Block:
    return Block(f"{prompt.text} in {threading.current_thread().name}")


async def test_a_function_may_be_async_or_not_and_can_still_be_called() -> None:
    assert await asynchronous.run(PROMPT) == Block("hi")
    assert await plain.run(PROMPT) == Block("hi in tool plain")
    assert plain(PROMPT).reason.startswith("hi in MainThread")


async def test_a_plain_function_may_return_something_to_wait_for() -> None:
    @hook("user_prompt")
    def indirect(*prompts: UserPrompt) -> Any:
        return asynchronous(prompts[0])

    assert await indirect.run(PROMPT) == Block("hi")


@pytest.mark.parametrize("event", list(RESULTS))
def test_only_a_hook_before_something_blocks_when_it_fails(event: Any) -> None:
    made = _made(event)
    assert made.on_error == ("block" if event in {"pre_tool", "user_prompt"} else "ignore")
    assert (made.priority, made.timeout_s, made.tools) == (100, 5, None)


def _made(event: Any, **options: Any) -> Hook:
    def function(context: Any) -> None:
        del context

    make: Any = hook
    found: Hook = make(event, **options)(function)
    return found


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"event": "before_tool"}, "function.event"),
        ({"event": "user_prompt", "tools": "x"}, "function.tools"),
        ({"event": "session_end", "tools": ["x"]}, "function.tools"),
        ({"event": "pre_tool", "tools": ["x", "not ok"]}, "function.tools[1]"),
        ({"event": "pre_tool", "on_error": "raise"}, "function.on_error"),
        ({"event": "tool_error", "on_error": "block"}, "function.on_error"),
        ({"event": "session_end", "on_error": "block"}, "function.on_error"),
        ({"event": "pre_tool", "timeout_s": 0}, "function.timeout_s"),
        ({"event": "pre_tool", "timeout_s": 61}, "function.timeout_s"),
        ({"event": "pre_tool", "timeout_s": float("nan")}, "function.timeout_s"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _made(**options)
    assert caught.value.field == field


@pytest.mark.parametrize("what", [int, 3, lambda: None, lambda a, b: None])
def test_a_hook_is_a_function_of_one_parameter(what: Any) -> None:
    with pytest.raises(InvalidInput):
        hook("user_prompt")(what)


def test_calls_are_told_by_their_tool_or_by_what_they_do() -> None:
    push = Action.parse("tool://local/shell"), Action.parse("exec://git push")
    for tools, expected in (
        (None, True), ("shell", True), ("tool://local/*", True), (["x", "exec://git **"], True),
        ("tool://github/*", False), ("exec://ls", False), ([], False),
    ):  # fmt: skip
        assert _made("pre_tool", tools=tools).is_about(*push) is expected, tools


def test_an_agent_takes_hooks_and_tells_their_names() -> None:
    agent = Agent(name="a", model="m", hooks=[asynchronous, plain, _made("session_end")])
    assert agent.hooks == (asynchronous, plain, agent.hooks[2])
    assert agent.hook_names == {
        "user_prompt": ["asynchronous", "plain"], "session_end": ["function"],
    }  # fmt: skip


def test_hooks_are_a_part_of_what_an_agent_is() -> None:
    hashes = {
        Agent(name="a", model="m", hooks=hooks).manifest_hash
        for hooks in (
            [], [asynchronous], [asynchronous, plain], [plain, asynchronous],
            [_made("pre_tool")], [_made("pre_tool", priority=1)], [_made("pre_tool", tools="x")],
            [_made("pre_tool", on_error="ignore")], [_made("pre_tool", timeout_s=1)],
            [_made("post_tool")],
        )
    }  # fmt: skip
    assert len(hashes) == 10


@pytest.mark.parametrize(
    ("hooks", "field"),
    [([plain.function], "agent.hooks[0]"), ([plain, plain], "agent.hooks[1]"),
     ([plain] * 101, "agent.hooks")],
)  # fmt: skip
def test_what_is_no_hook_is_refused_with_its_place(hooks: list[Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Agent(name="a", model="m", hooks=hooks)
    assert caught.value.field == field


def test_the_front_door_has_what_hooks_are_written_with() -> None:
    import bursar

    assert (bursar.hook, bursar.Block, bursar.PreTool) == (hook, Block, PreTool)
    assert bursar.SessionEnd is SessionEnd
