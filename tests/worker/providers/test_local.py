import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bursar.agents import Agent
from bursar.budgets.bounds import input_bound_tokens
from bursar.errors import InvalidInput, ModelError
from bursar.messages import AssistantMessage, Message, ToolCall, ToolMessage, Usage, UserMessage
from bursar.models import Model, ModelRequest, TextDelta
from bursar.settings import WorkerSettings
from bursar.testing import tool_context
from bursar.tools import render_output
from bursar_worker.builtin import reader
from bursar_worker.providers import resolve
from bursar_worker.summarising import SUMMARY_INSTRUCTIONS

TIDES = """# Tides

Tides are the rise and fall of sea levels. They are caused by the gravity of the moon and
the sun, and by the rotation of the earth. A tide table lists the times for a harbour.

## Spring tides

Spring tides come when sun and moon pull in one line. Their range is larger than the average.
"""
HARBOUR = "# Harbour\n\n- The harbour of Emden opens its lock with every high tide.\n- Ok.\n"


@dataclass
class Run:
    """A small drive: asks the model, runs its tools, until it answers with text."""

    answers: list[AssistantMessage] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    requests: list[ModelRequest] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.answers[-1].text


async def ask(model: Model, request: ModelRequest) -> AssistantMessage:
    texts: list[str] = []
    calls: list[ToolCall] = []
    usage: list[Usage] = []
    async for event in model.stream(request):
        assert not usage, "usage comes last"
        if isinstance(event, TextDelta):
            texts.append(event.text)
        elif isinstance(event, ToolCall):
            calls.append(event)
        elif isinstance(event, Usage):
            usage.append(event)
    assert usage[0].output_tokens <= request.max_output_tokens
    assert usage[0].input_tokens <= input_bound_tokens(request, None, ())
    return AssistantMessage("".join(texts), tool_calls=tuple(calls), usage=usage[0])


async def drive(
    agent: Agent, text: str, files: Path | None, *, max_output_tokens: int = 4096, steps: int = 30
) -> Run:
    model = resolve(agent.model, WorkerSettings())
    run = Run(messages=[UserMessage(text)])
    for _ in range(steps):
        request = ModelRequest(
            agent.model_name,
            agent.instructions,
            tuple(run.messages),
            tuple(tool.spec for tool in agent.tools),
            max_output_tokens,
            session="s",
            turn="t",
        )
        run.requests.append(request)
        answer = await ask(model, request)
        run.answers.append(answer)
        run.messages.append(answer)
        if not answer.tool_calls:
            return run
        for call in answer.tool_calls:
            run.messages.append(await result(agent, call, files))
    raise AssertionError("the model does not come to an end")


async def result(agent: Agent, call: ToolCall, files: Path | None) -> ToolMessage:
    tool = agent.tool(call.name)
    assert tool is not None
    try:
        value = await tool.run(tool_context(files=files), tool.parse(call.arguments))
    except InvalidInput as error:
        return ToolMessage(call.id, call.name, str(error), is_error=True)
    return ToolMessage(call.id, call.name, render_output(value, 30_000))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tides.md").write_text(TIDES)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "harbour.md").write_text(HARBOUR)
    return tmp_path


async def test_the_reader_lists_reads_reports_and_sums_up(folder: Path) -> None:
    run = await drive(reader, "What causes the tides?", folder)
    names = [[call.name for call in answer.tool_calls] for answer in run.answers]
    assert names == [["list_files"], ["read_file", "read_file"], ["write_report"], []]
    report = (folder / "bursar-report/report.md").read_text()
    assert "(tides.md:3)" in report
    assert "(sub/harbour.md:3)" in report
    assert "caused by the gravity of the moon and the sun" in report
    assert "bursar-report/report.md" in run.text
    assert "I read 2 files" in run.text


async def test_references_name_the_line_that_the_sentence_begins_on(folder: Path) -> None:
    await drive(reader, "spring tides", folder)
    report = (folder / "bursar-report/report.md").read_text()
    assert "- Spring tides come when sun and moon pull in one line. (tides.md:8)" in report


async def test_what_was_asked_for_comes_first(folder: Path) -> None:
    run = await drive(reader, "When does the lock of Emden open?", folder)
    first = next(line for line in run.text.splitlines() if line.startswith("- "))
    assert "Emden" in first


async def test_the_reader_does_the_same_each_time(folder: Path) -> None:
    run = await drive(reader, "tides", folder)
    model = resolve("local:reader", WorkerSettings())
    again = [await ask(model, request) for request in run.requests]
    assert again == run.answers


async def test_many_files_are_read_several_at_a_time_with_ids_of_their_own(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"f{number:02}.txt").write_text(f"File {number} says that tides come again.\n")
    run = await drive(reader, "tides", tmp_path)
    calls = [call for answer in run.answers for call in answer.tool_calls]
    assert [call.name for call in calls].count("read_file") == 20
    assert max(len(answer.tool_calls) for answer in run.answers) == 8
    assert len({call.id for call in calls}) == len(calls)


async def test_long_files_are_read_to_their_end(tmp_path: Path) -> None:
    lines = [f"Line {number} talks at some length about the sea." for number in range(700)]
    (tmp_path / "long.txt").write_text("\n".join(lines))
    run = await drive(reader, "sea", tmp_path)
    assert "700 lines" in run.text


async def test_a_small_output_limit_is_honoured_and_still_ends(folder: Path) -> None:
    run = await drive(reader, "tides", folder, max_output_tokens=100)
    report = (folder / "bursar-report/report.md").read_text()
    assert report.startswith("# Report")
    assert run.text


async def test_problems_are_told_and_not_hidden(folder: Path) -> None:
    (folder / "bursar-report").symlink_to(folder.parent)
    run = await drive(reader, "tides", folder)
    assert "could not be written" in run.text
    assert "could not read anything" in (await drive(reader, "tides", None)).text


async def test_without_tools_the_reader_summarises_the_text() -> None:
    text = "The sea is wide and it is deep. Ok. " + "The tide of the sea comes and goes. " * 2
    plain = Agent(name="plain", model="local:reader")
    run = await drive(plain, text, None)
    assert run.text == "The sea is wide and it is deep. The tide of the sea comes and goes."
    assert "little to summarise" in (await drive(plain, "Hi", None)).text


async def test_echo_streams_the_last_text_word_by_word() -> None:
    model = resolve("local:echo", WorkerSettings())
    messages = (UserMessage("first"), AssistantMessage("x"), UserMessage("say this again"))
    events = [event async for event in model.stream(ModelRequest("m", "", messages))]
    assert events[:-1] == [TextDelta("say "), TextDelta("this "), TextDelta("again")]
    assert events[-1] == Usage(input_tokens=7, output_tokens=4)


@pytest.mark.parametrize(
    ("name", "limit", "tokens"),
    [("local:echo?tokens=50", 4096, 50), ("local:echo?tokens=50", 20, 20)],
)
async def test_echo_makes_as_many_tokens_as_asked(name: str, limit: int, tokens: int) -> None:
    model = resolve(name, WorkerSettings())
    answer = await ask(model, ModelRequest("m", "", (UserMessage("a few words"),), (), limit))
    assert answer.usage.output_tokens == tokens


async def test_echo_waits_before_each_word() -> None:
    model = resolve("local:echo?delay_ms=30", WorkerSettings())
    begin = time.monotonic()
    await ask(model, ModelRequest("m", "", (UserMessage("a b c"),)))
    assert time.monotonic() - begin >= 0.08


async def test_input_above_the_window_is_refused() -> None:
    model = resolve("local:echo", WorkerSettings())
    with pytest.raises(ModelError) as caught:
        await ask(model, ModelRequest("m", "", (UserMessage("x" * 900_000),)))
    assert caught.value.code == "context_too_long"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "echo",
        "local:",
        "local:none",
        "local:echo?speed=9",
        "local:echo?tokens=-1",
        "local:echo?tokens=x",
        "local:reader?tokens=5",
        "local:echo?delay_ms=999999",
    ],
)
def test_unknown_names_and_options_are_refused(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        resolve(name, WorkerSettings())
    assert caught.value.code == "model_unknown"
    assert not caught.value.retryable


def test_the_same_name_is_the_same_object_and_objects_stay() -> None:
    settings = WorkerSettings()
    assert resolve("local:echo", settings) is resolve("local:echo", WorkerSettings())
    model = resolve("local:reader", settings)
    assert resolve(model, settings) is model


@pytest.mark.parametrize("name", ["local:echo", "local:reader"])
async def test_a_summary_says_what_stands_out_within_what_is_allowed(name: str) -> None:
    chat = " ".join(f"We talked about the weather on day {day} and agreed." for day in range(200))
    facts = (
        "User: The invoice of the dredging company over forty thousand euros is still not paid.\n\n"
        "Assistant: I asked the dredging company for a copy of the invoice and they refused.\n\n"
    )
    told = UserMessage(f"{facts}User: {chat}")
    for allowed in (60, 400):
        request = ModelRequest("m", SUMMARY_INSTRUCTIONS, (told,), max_output_tokens=allowed)
        text = (await ask(resolve(name, WorkerSettings()), request)).text
        assert 0 < len(text.encode()) <= allowed * 4
        assert "dredging company" in text


async def test_a_conversation_of_hardly_a_sentence_has_a_summary_too() -> None:
    request = ModelRequest("m", SUMMARY_INSTRUCTIONS, (UserMessage("User: hi"),))
    answer = await ask(resolve("local:echo", WorkerSettings()), request)
    assert answer.text.strip()
