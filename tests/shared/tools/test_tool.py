import threading
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest

from bursar.errors import InvalidInput
from bursar.models import ToolSpec
from bursar.testing import tool_context
from bursar.tools import Tool, tool

if TYPE_CHECKING:
    from bursar.context import ToolContext


class Filter(msgspec.Struct):
    tags: list[str]
    year: int | None = None


@tool(effect="idempotent", risk="medium", cost_usd="0.002", timeout_s=20)
async def search(
    ctx: "ToolContext",
    query: str,
    limit: Annotated[int, msgspec.Meta(description="How many", ge=1)] = 5,
    filter: Filter | None = None,  # noqa: A002
) -> list[str]:
    """Find passages in the corpus."""
    return [f"{ctx.session}:{query}"] * limit


def test_the_decorator_keeps_what_was_declared() -> None:
    assert search.name == "search"
    assert search.description == "Find passages in the corpus."
    assert (search.effect, search.risk, search.timeout_s) == ("idempotent", "medium", 20)
    assert search.cost_microusd == 2000


def test_the_schema_holds_all_it_refers_to() -> None:
    parameters = search.spec.parameters
    assert isinstance(search.spec, ToolSpec)
    assert list(parameters["properties"]) == ["query", "limit", "filter"]
    assert parameters["properties"]["limit"] == {
        "type": "integer",
        "minimum": 1,
        "default": 5,
        "description": "How many",
    }
    assert parameters["required"] == ["query"]
    assert parameters["additionalProperties"] is False
    assert set(parameters["$defs"]) == {"Filter"}


def test_parse_returns_typed_arguments_and_leaves_defaults_to_the_function() -> None:
    assert search.parse('{"query": "a"}') == {"query": "a"}
    parsed = search.parse('{"query": "a", "filter": {"tags": ["x"]}}')
    assert parsed["filter"] == Filter(["x"])


@pytest.mark.parametrize(
    ("arguments", "field", "says"),
    [
        ('{"query": "a", "limit": "5"}', "limit", "expected `int`, got `str`"),
        ('{"query": "a", "limit": 5.0}', "limit", "expected `int`"),
        ('{"query": "a", "limit": 0}', "limit", ">= 1"),
        ('{"query": "a", "filter": {"tags": ["a", "b", 3]}}', "filter.tags[2]", "`str`"),
        ('{"query": "a", "filter": {}}', "filter.tags", "required"),
        ('{"limit": 1}', "query", "required"),
        ('{"query": "a", "quary": 1}', "quary", "unknown"),
        ('{"query": ', "arguments", "JSON"),
        ("", "arguments", "JSON"),
        ("[]", "arguments", "`object`"),
        ("null", "arguments", "`object`"),
        ('"\ud800"', "arguments", "JSON"),
    ],
)
def test_wrong_arguments_name_their_place(arguments: str, field: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        search.parse(arguments)
    assert caught.value.field == field
    assert says in str(caught.value)


async def test_run_gives_the_context_and_the_arguments() -> None:
    assert await search.run(tool_context(), {"query": "q", "limit": 2}) == ["ses_test:q"] * 2


async def test_a_tool_can_be_called_like_its_function() -> None:
    assert await search(tool_context(), "q", limit=1) == ["ses_test:q"]


async def test_a_function_that_is_not_async_runs_in_a_thread() -> None:
    @tool
    def where() -> str:
        return threading.current_thread().name

    assert await where.run(tool_context(), {}) != threading.current_thread().name


def test_bare_decorator_takes_the_careful_defaults() -> None:
    @tool
    def plain(ctx, text: str) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return text

    assert isinstance(plain, Tool)
    assert (plain.effect, plain.risk, plain.cost_microusd) == ("at_most_once", "low", 0)
    assert list(plain.spec.parameters["properties"]) == ["text"]


def test_a_default_that_cannot_be_shown_is_kept_by_the_function() -> None:
    @tool
    def listing(kinds: list[str] = ["a"]) -> list[str]:  # noqa: B006
        return kinds

    assert "default" not in listing.spec.parameters["properties"]["kinds"]
    assert listing.parse("{}") == {}


def with_star(*names: str) -> None: ...
def with_stars(**names: str) -> None: ...
def without_hint(name) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def positional(name: str, /) -> None: ...
def custom(thing: threading.Thread) -> None: ...
def late_context(name: str, ctx: "ToolContext") -> None: ...
def unknown_name(name: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "field"),
    [
        (with_star, "with_star.names"),
        (with_stars, "with_stars.names"),
        (without_hint, "without_hint.name"),
        (positional, "positional.name"),
        (custom, "custom.thing"),
        (late_context, "late_context.ctx"),
        (unknown_name, "unknown_name.name"),
    ],
)
def test_an_unsupported_signature_is_refused_by_name(function: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        tool(function)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"effect": "maybe"}, "f.effect"),
        ({"risk": "none"}, "f.risk"),
        ({"cost_usd": "-1"}, "f.cost_usd"),
        ({"cost_usd": 0.1}, "f.cost_usd"),
        ({"cost_usd": "NaN"}, "f.cost_usd"),
        ({"cost_usd": "0.0000001"}, "f.cost_usd"),
        ({"timeout_s": 0}, "f.timeout_s"),
        ({"action": "somewhere"}, "f.action"),
        ({"name": "a b"}, "'a b'"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    def f() -> None: ...

    with pytest.raises(InvalidInput) as caught:
        tool(**options)(f)
    assert caught.value.field == field


def test_the_action_is_the_tool_or_what_it_declares() -> None:
    @tool(action=lambda arguments: f"file://{arguments['path']}")
    def remove(path: str) -> None: ...

    assert search.action({}) == "tool://local/search"
    assert remove.action({"path": "./a//b"}) == "file://a/b"


@pytest.mark.parametrize("make", [lambda a: a["nope"], lambda a: "nowhere"])
def test_an_action_that_cannot_be_told_is_an_input_error(make: Any) -> None:
    @tool(action=make)
    def remove(path: str) -> None: ...

    with pytest.raises(InvalidInput, match="action"):
        remove.action({"path": "x"})


def test_the_manifest_hash_changes_with_what_an_approval_relies_on() -> None:
    def f(a: int) -> None: ...
    def g(a: str) -> None: ...

    hashes = {
        tool(name="t")(f).manifest_hash,
        tool(name="t")(g).manifest_hash,
        tool(name="t", effect="pure")(f).manifest_hash,
        tool(name="t", risk="high")(f).manifest_hash,
        tool(name="t", version="2")(f).manifest_hash,
        tool(name="u")(f).manifest_hash,
    }
    assert len(hashes) == 6
    assert tool(name="t")(f).manifest_hash in hashes
