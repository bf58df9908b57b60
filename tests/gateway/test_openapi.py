"""The OpenAPI document: complete, referring only to what it has, with examples that work."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.gateway import Running

Document = dict[str, Any]


@pytest.fixture
async def document(live: Running) -> Document:
    async with live.client("") as client:
        answer = await client.get("/schema/openapi.json")
    assert answer.status_code == 200
    found: Document = answer.json()
    return found


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def _walk(value: Any) -> Iterator[Document]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


async def test_it_is_openapi_3_1_and_every_reference_resolves(document: Document) -> None:
    assert document["openapi"].startswith("3.1")
    references = {node["$ref"] for node in _walk(document) if isinstance(node.get("$ref"), str)}
    assert references
    for reference in references:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


async def test_every_operation_is_named_described_and_typed(document: Document) -> None:
    names = [operation["operationId"] for _, _, operation in _operations(document)]
    assert len(names) == len(set(names)) >= 40
    for method, path, operation in _operations(document):
        assert operation["description"], (method, path)
        given = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert given == {part[1:-1] for part in path.split("/") if part.startswith("{")}
        success = [status for status in operation["responses"] if status.startswith("2")]
        assert len(success) == 1, (method, path)


async def test_every_operation_lists_its_problems(document: Document) -> None:
    for method, path, operation in _operations(document):
        expected = {"400", "401", "503"} if path.startswith("/v1") else set()
        expected |= {"404"} if "{ws}" in path else set()
        expected |= {"413", "415", "422"} if "requestBody" in operation else set()
        assert expected <= operation["responses"].keys(), (method, path)
        for status, response in operation["responses"].items():
            if status[0] in "45":
                content = response["content"]["application/problem+json"]
                assert content["schema"]
                assert content["examples"], (method, path, status)


async def test_operations_that_are_refused_under_load_say_so(document: Document) -> None:
    found = {
        operation["operationId"]
        for _, _, operation in _operations(document)
        if "429" in operation["responses"]
    }
    assert found == {
        "create_session", "create_turn", "put_agent_policy", "put_policy", "session_events",
        "turn_events", "mint_capability", "derive_capability", "import_capability",
        "rotate_signing_key", "approval_events", "create_webhook", "create_job", "retry_job",
        "fork_session", "import_session",
    }  # fmt: skip


async def test_every_body_has_an_example_and_refuses_unknown_fields(document: Document) -> None:
    bodies = 0
    for method, path, operation in _operations(document):
        if "requestBody" not in operation:
            continue
        bodies += 1
        media = operation["requestBody"]["content"]["application/json"]
        assert _examples(document, media), (method, path)
    assert bodies >= 20


def _examples(document: Document, media: Document) -> list[Any]:
    schema = media["schema"]
    schemas = document["components"]["schemas"]
    found: list[Any] = [*media.get("examples", {}).values(), *schema.get("examples", [])]
    for node in _walk(schema):
        if "$ref" in node:
            found += schemas[node["$ref"].split("/")[-1]].get("examples", [])
    return found


async def test_keys_are_asked_for_where_they_are_needed(document: Document) -> None:
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["security"] == [{"key": []}]
    for _, path, operation in _operations(document):
        if not path.startswith("/v1"):
            assert operation["security"] == [{}]


async def test_an_example_works_as_it_is(document: Document, admin: httpx.AsyncClient) -> None:
    operation = document["paths"]["/v1/workspaces"]["post"]
    media = operation["requestBody"]["content"]["application/json"]
    example = _examples(document, media)[0]
    answer = await admin.post("/v1/workspaces", json=example.get("value", example))
    assert answer.status_code == 201
