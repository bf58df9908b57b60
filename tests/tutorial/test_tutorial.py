"""How Bursar is used, one idea a test, on the public API only. Read it from top to bottom."""

from pathlib import Path

import pytest

from bursar import Agent, BursarError, Client, Policy, Price, ToolContext, tool
from bursar.client import LimitChange
from bursar.messages import ToolCall
from bursar.testing import Reply, ScriptedModel, tool_context
from support.tutorial import Tutorial


@pytest.fixture
def site(tutorial: Tutorial) -> Tutorial:
    return tutorial


async def test_a_tool_is_a_function_with_hints() -> None:
    @tool(effect="pure")
    async def add(ctx: ToolContext, left: int, right: int = 1) -> int:
        """Add two numbers."""
        return left + right

    assert add.name == "add"
    assert add.spec.parameters["required"] == ["left"]
    assert await add(tool_context(), 2) == 3


def test_wrong_arguments_name_the_field() -> None:
    @tool(effect="pure")
    def add(left: int, right: int) -> int:
        return left + right

    with pytest.raises(BursarError, match="right"):
        add.parse('{"left": 1, "right": "two"}')


def test_an_agent_is_a_model_with_instructions_and_tools() -> None:
    @tool(effect="idempotent")
    def file_away(text: str) -> str:
        return "filed"

    clerk = Agent(
        name="clerk",
        model="anthropic:claude-sonnet-4-5",
        instructions="File what you are given.",
        tools=[file_away],
        policy=Policy(allow=["file_away"]),
    )
    assert [each.name for each in clerk.tools] == ["file_away"]


def test_a_scripted_model_stands_in_for_a_provider() -> None:
    model = ScriptedModel([ToolCall("c1", "add", '{"left": 1}'), Reply(text="It is 2.")])
    agent = Agent(name="counter", model=model)
    assert agent.model_name == "scripted"
    assert isinstance(model.price, Price)


def test_a_session_is_a_conversation_with_a_budget(site: Tutorial) -> None:
    with Client(site.url, site.key) as client:
        session = client.create_session("echo", limit_microusd=250_000)
        budget = client.get_session_budget(session).account
    assert (budget.limit_microusd, budget.posted_microusd) == (250_000, 0)


def test_a_turn_is_one_input_worked_off_to_an_end(site: Tutorial) -> None:
    with Client(site.url, site.key) as client:
        session = client.create_session("echo")
        result = client.run(session, "say this")
    assert result.ok
    assert result.text == "say this"
    assert result.cost_microusd > 0


def test_a_stream_shows_a_turn_while_it_runs(site: Tutorial) -> None:
    with Client(site.url, site.key) as client:
        stream = client.stream(client.create_session("echo"), "word by word")
        kinds = [event.kind for event in stream]
    assert kinds[0] == "turn.queued"
    assert "text.delta" in kinds
    assert kinds[-1] == "turn.succeeded"


def test_the_conversation_remembers(site: Tutorial) -> None:
    with Client(site.url, site.key) as client:
        session = client.create_session("echo", title="two turns")
        client.run(session, "first")
        client.run(session, "second")
        texts = [getattr(message, "text", "") for message in client.list_messages(session)]
    assert texts == ["first", "first", "second", "second"]


def test_a_turn_waits_for_a_purse_that_is_empty_and_goes_on_when_it_is_filled(
    site: Tutorial,
) -> None:
    kinds = []
    with Client(site.url, site.key) as client:
        session = client.create_session("echo", limit_microusd=1)
        stream = client.stream(session, "too dear")
        for event in stream:
            kinds.append(event.kind)
            if event.kind == "turn.waiting":
                client.set_session_budget(session, LimitChange(limit_microusd=1_000_000))
        assert stream.result().ok
    waiting, raised = kinds.index("turn.waiting"), kinds.index("budget.raised")
    assert kinds.index("budget.exhausted") < waiting < raised < kinds.index("turn.resumed")


def test_a_call_above_what_an_action_may_cost_ends_the_turn_with_a_reason(site: Tutorial) -> None:
    with Client(site.url, site.key) as client:
        result = client.run(client.create_session("echo", per_action_microusd=1), "too dear")
    assert not result.ok
    assert result.code == "budget_exhausted"


def test_an_agent_reads_the_files_of_its_sessions_folder(site: Tutorial, tmp_path: Path) -> None:
    (site.files / "notes").mkdir()
    (site.files / "notes" / "one.md").write_text("# One\n\nThe only note here is about rain.\n")
    with Client(site.url, site.key) as client:
        session = client.create_session("reader", workspace_path="notes")
        result = client.run(session, "What is in the notes?")
    assert result.ok
    assert "one.md" in (site.files / "notes" / "bursar-report" / "report.md").read_text()
