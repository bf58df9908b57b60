"""Hooks at work: order, what they may say, and what becomes of those that fail."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bursar import Agent, tool
from bursar.errors import InvalidInput
from bursar.hooks import (
    Allow,
    Ask,
    Block,
    Hook,
    HookContext,
    Modify,
    PostTool,
    PreTool,
    SessionEnd,
    SessionStart,
    ToolFailure,
    UserPrompt,
    hook,
)
from bursar_worker.hooks import Blocked, HookRunner, PreToolOutcome, ToolText

CTX = HookContext(workspace="w", session="s", user="u", agent="a", turn="t", step=2)


@tool(effect="idempotent", risk="high", action=lambda arguments: f"exec://{arguments['line']}")
def run_line(line: str, times: int = 1) -> str:
    """Run a line."""
    return line * times


Say = Callable[[Any], Any]


def named(name: str, say: Say, event: Any = "pre_tool", **options: Any) -> Hook:
    def function(context: Any) -> Any:
        return say(context)

    function.__name__ = name
    make: Any = hook
    made: Hook = make(event, **options)(function)
    return made


def runner(*hooks: Hook) -> HookRunner:
    return HookRunner(Agent(name="a", model="m", hooks=hooks))


async def before(*hooks: Hook, arguments: str = '{"line": "ls"}') -> PreToolOutcome:
    return await runner(*hooks).pre_tool(CTX, "c1", run_line, arguments)


async def test_without_hooks_a_call_stays_as_it_is() -> None:
    outcome = await before()
    assert outcome == PreToolOutcome('{"line": "ls"}', {"line": "ls"})
    assert outcome.verdict is None
    assert not runner().has("pre_tool")


async def test_a_hook_sees_the_whole_call() -> None:
    seen: list[PreTool] = []
    await before(named("look", seen.append))
    assert seen == [
        PreTool(
            workspace="w", session="s", user="u", agent="a", turn="t", step=2, call_id="c1",
            tool="run_line", server="local", action="exec://ls", effect="idempotent", risk="high",
            arguments={"line": "ls"},
        )
    ]  # fmt: skip


def _note(seen: list[str], name: str, _: Any) -> None:
    seen.append(name)


async def test_hooks_run_by_priority_then_in_their_order() -> None:
    seen: list[str] = []
    hooks = [
        named(name, partial(_note, seen, name), priority=priority)
        for name, priority in (("c", 100), ("a", 1), ("d", 100), ("b", 50))
    ]
    await before(*hooks)
    assert seen == ["a", "b", "c", "d"]


async def test_a_block_ends_it_and_says_why() -> None:
    seen: list[str] = []
    outcome = await before(
        named("stop", lambda _: Block("not today"), priority=2),
        named("first", lambda _: Allow(), priority=1),
        named("late", lambda _: seen.append("late"), priority=3),
    )
    assert (outcome.decision, outcome.hook, outcome.reason) == (
        "block", "stop", "hook stop: not today",
    )  # fmt: skip
    assert seen == []
    verdict = outcome.verdict
    assert verdict is not None
    assert (verdict.decision, verdict.proof, verdict.proof_id) == ("deny", "hook", "stop")


async def test_a_change_is_seen_by_later_hooks_and_checked_by_the_tools_schema() -> None:
    seen: list[Any] = []
    outcome = await before(
        named("change", lambda _: Modify(arguments={"line": "rm", "times": 2})),
        named("look", lambda call: seen.append((call.arguments, call.action))),
    )
    assert seen == [({"line": "rm", "times": 2}, "exec://rm")]
    assert outcome.arguments == {"line": "rm", "times": 2}
    assert outcome.arguments_json == '{"line":"rm","times":2}'
    assert (outcome.decision, outcome.changed_by) == ("", ("change",))


@pytest.mark.parametrize(
    "arguments",
    [{"line": 1}, {"line": "x", "other": 1}, {}, {"line": object()}, {"line": "x" * 1024 * 1024}],
)
async def test_wrong_new_arguments_are_a_failure_of_the_hook(arguments: Any) -> None:
    outcome = await before(named("change", lambda _: Modify(arguments=arguments)))
    assert outcome.decision == "block"
    assert outcome.reason.startswith("hook change: the hook itself gave")
    ignored = await before(named("c", lambda _: Modify(arguments=arguments), on_error="ignore"))
    assert (ignored.decision, ignored.arguments) == ("", {"line": "ls"})


async def test_a_hook_cannot_change_arguments_by_the_way() -> None:
    def meddle(call: PreTool) -> None:
        call.arguments["line"] = "rm"

    seen: list[Any] = []
    outcome = await before(
        named("meddle", meddle), named("look", lambda c: seen.append(c.arguments))
    )
    assert seen == [{"line": "ls"}]
    assert outcome.arguments == {"line": "ls"}


async def test_ask_wins_over_allow_whatever_the_order() -> None:
    ask, allow = named("ask", lambda _: Ask("look")), named("allow", lambda _: Allow("fine"))
    for hooks in ([ask, allow], [allow, ask]):
        outcome = await before(*hooks)
        assert (outcome.decision, outcome.hook, outcome.reason) == ("ask", "ask", "hook ask: look")
    outcome = await before(allow)
    assert (outcome.decision, outcome.reason) == ("allow", "hook allow: fine")
    assert outcome.verdict is not None
    assert outcome.verdict.decision == "allow"


async def test_an_allow_does_not_hold_for_arguments_that_came_later() -> None:
    allow = named("allow", lambda _: Allow())
    change = named("change", lambda _: Modify(arguments={"line": "rm"}))
    assert (await before(allow, change)).decision == ""
    assert (await before(change, allow)).decision == "allow"


async def test_a_hook_looks_only_at_the_calls_that_it_is_about() -> None:
    for tools, decision in (
        ("run_line", "block"), ("exec://ls", "block"), ("exec://rm **", ""), ("other", ""),
        (["other", "tool://local/run_*"], "block"),
    ):  # fmt: skip
        outcome = await before(named("stop", lambda _: Block("no"), tools=tools))
        assert outcome.decision == decision, tools


async def test_arguments_that_are_wrong_are_no_matter_for_hooks() -> None:
    with pytest.raises(InvalidInput):
        await before(named("stop", lambda _: Block("no")), arguments='{"line": 1}')


async def test_a_call_that_cannot_say_what_it_does_is_seen_by_its_tool() -> None:
    @tool(action=lambda arguments: arguments["nothing"])
    def odd() -> None:
        """Do something."""

    hooks = runner(named("stop", lambda call: Block(call.action)))
    outcome = await hooks.pre_tool(CTX, "c", odd, "{}")
    assert outcome.reason == "hook stop: tool://local/odd"


# -- failures


def _raise(_: Any) -> None:
    raise ValueError("the secret is 42")


def _exit(_: Any) -> None:
    raise SystemExit(3)


async def _lose_a_task(_: Any) -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


async def _sleep(_: Any) -> None:
    await asyncio.sleep(60)


FAILURES = [
    (_raise, "raised ValueError"),
    (_exit, "raised SystemExit"),
    (_lose_a_task, "lost a task"),
    (_sleep, "did not answer within 0.05 s"),
    (lambda _: "no", "returned str"),
    (lambda _: True, "returned bool"),
    (lambda _: Block, "returned type"),
    (lambda _: Block(3), "a reason that is no text"),  # type: ignore[arg-type]
    (lambda _: Modify(), "expected arguments"),
    (lambda _: Modify(output="x"), "expected arguments"),
    (lambda _: Modify(arguments={"line": "x"}, input="x"), "expected arguments"),
    (lambda _: Modify(arguments="x"), "no object"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("say", "what"), FAILURES)
async def test_a_failing_hook_that_says_block_blocks(
    say: Say, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    with caplog.at_level(logging.WARNING):
        outcome = await before(
            named("broken", say, timeout_s=0.05), named("late", lambda _: seen.append("x"))
        )
    assert outcome.decision == "block"
    assert outcome.reason.startswith("hook broken: the hook itself ")
    assert what in outcome.reason
    assert "42" not in outcome.reason
    assert (
        f"hook broken of agent a {outcome.reason.removeprefix('hook broken: the hook itself ')}"
        in (caplog.text)
    )
    assert seen == []


@pytest.mark.parametrize(("say", "what"), FAILURES)
async def test_a_failing_hook_that_is_ignored_is_logged_and_the_rest_runs(
    say: Say, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    with caplog.at_level(logging.WARNING):
        outcome = await before(
            named("broken", say, timeout_s=0.05, on_error="ignore"),
            named("late", lambda _: seen.append("x")),
        )
    assert (outcome.decision, outcome.arguments, seen) == ("", {"line": "ls"}, ["x"])
    assert what in caplog.text


async def test_a_cancel_of_the_drive_is_no_failure_of_the_hook() -> None:
    started = asyncio.Event()

    async def wait(_: Any) -> None:
        started.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(before(named("wait", wait)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# -- other events


async def told(*hooks: Hook) -> ToolText:
    return await runner(*hooks).post_tool(CTX, "c1", run_line, '{"line": "ls"}', "out")


async def test_what_a_call_returned_can_be_changed() -> None:
    def louder(call: PostTool) -> Modify:
        return Modify(output=call.output.upper())

    def longer(call: PostTool) -> Modify:
        return Modify(output=f"{call.output} of {call.arguments['line']}")

    found = await told(
        named("louder", louder, "post_tool"), named("longer", longer, "post_tool"),
        named("quiet", lambda _: None, "post_tool"),
    )  # fmt: skip
    assert found == ToolText("OUT of ls", is_error=False, changed_by=("louder", "longer"))
    assert await told() == ToolText("out", is_error=False)


async def test_what_a_call_returned_can_be_withheld() -> None:
    found = await told(
        named("dlp", lambda _: Block("a card number"), "post_tool"),
        named("late", lambda _: Modify(output="x"), "post_tool"),
    )
    assert (found.is_error, found.changed_by) == (True, ("dlp",))
    assert "withheld. hook dlp: a card number" in found.output


async def test_after_a_call_failures_are_ignored_unless_they_say_block() -> None:
    assert (await told(named("broken", _raise, "post_tool"))).output == "out"
    assert (await told(named("broken", _raise, "post_tool", on_error="block"))).is_error
    assert (await told(named("asks", lambda _: Ask("x"), "post_tool"))).output == "out"
    assert (await told(named("o", lambda _: Block("x"), "post_tool", tools="x"))).output == "out"


async def test_the_error_of_a_call_can_be_changed_and_not_hidden() -> None:
    def explain(failure: ToolFailure) -> Modify:
        return Modify(output=f"{failure.error}; try again later")

    hooks = runner(
        named("explain", explain, "tool_error"),
        named("odd", lambda _: Block("x"), "tool_error"),
        named("other", lambda _: Modify(output="x"), "tool_error", tools="other"),
    )
    found = await hooks.tool_error(CTX, "c1", run_line, '{"line": "ls"}', "it broke")
    assert found == ToolText("it broke; try again later", is_error=True, changed_by=("explain",))


async def prompted(*hooks: Hook) -> str | Blocked:
    return await runner(*hooks).user_prompt(CTX, "hello", {"a": 1})


async def test_an_input_can_be_changed_or_stopped() -> None:
    def add(prompt: UserPrompt) -> Modify:
        return Modify(input=f"{prompt.text} {prompt.custom['a']}")

    assert await prompted() == "hello"
    assert await prompted(named("add", add, "user_prompt")) == "hello 1"
    blocked = await prompted(
        named("add", add, "user_prompt"), named("no", lambda p: Block(p.text), "user_prompt")
    )
    assert blocked == Blocked("no", "hook no: hello 1")


@pytest.mark.parametrize(
    "say", [_raise, lambda _: Modify(input=" "), lambda _: Modify(output="x"), lambda _: Ask("x")]
)
async def test_a_failing_hook_stops_an_input(say: Say) -> None:
    assert isinstance(await prompted(named("broken", say, "user_prompt")), Blocked)
    ignored = named("broken", say, "user_prompt", on_error="ignore")
    assert await prompted(ignored) == "hello"


async def test_sessions_are_told_at_their_start_and_end() -> None:
    seen: list[HookContext] = []
    hooks = runner(
        named("start", seen.append, "session_start"),
        named("end", seen.append, "session_end"),
        named("broken", _raise, "session_end"),
    )
    assert await hooks.session_start(CTX) is None
    await hooks.session_end(CTX)
    assert [type(each) for each in seen] == [SessionStart, SessionEnd]
    assert (seen[0].session, seen[0].user) == ("s", "u")


async def test_a_session_can_be_stopped_at_its_start() -> None:
    hooks = runner(named("no", lambda _: Block("closed"), "session_start"))
    assert await hooks.session_start(CTX) == Blocked("no", "hook no: closed")
    broken = named("broken", _raise, "session_start")
    assert await runner(broken).session_start(CTX) is None
    strict = named("broken", _raise, "session_start", on_error="block")
    assert isinstance(await runner(strict).session_start(CTX), Blocked)


async def test_long_reasons_are_cut() -> None:
    outcome = await before(named("stop", lambda _: Block("x" * 5000)))
    assert len(outcome.reason) < 1100
