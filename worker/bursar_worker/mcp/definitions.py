"""What a server says of its tools, checked, bounded and cleaned before anybody acts on it.

A server is not trusted: a description may be an endless text or an order to the model, a schema a
trap for whoever checks arguments against it. What cannot be used is left out and said in the log.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import mcp_types as types
import msgspec

from bursar.errors import InvalidInput
from bursar.schemas import SchemaArguments, bounded
from bursar_worker.mcp.cleaning import clean, clean_schema, clip

__all__ = ["MAX_TOOLS", "Definition", "define", "define_all", "hash_of"]

MAX_TOOLS = 200
MAX_DESCRIPTION_BYTES = 4096
MAX_SCHEMAS_BYTES = 1024 * 1024
"""All schemas of a server together: a model reads them with each call."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Definition:
    """One tool. ``sha256`` is over all that was said of it, as it was said; the rest is clean."""

    name: str
    description: str
    parameters: dict[str, Any]
    arguments: SchemaArguments
    sha256: str
    read_only: bool | None = None
    idempotent: bool | None = None
    destructive: bool | None = None
    size: int = 0
    """Bytes of the schema."""


def define(tool: types.Tool) -> Definition:
    """Take a tool over; costly.

    Raises:
        InvalidInput: It cannot be used; ``field`` says what of it.

    """
    if not _NAME.fullmatch(tool.name):
        raise InvalidInput("expected 1-64 letters, digits, '_' or '-'", field="name")
    schema = tool.input_schema
    size = len(bounded(schema, "inputSchema"))
    if schema.get("type", "object") != "object":
        raise InvalidInput("expected an object", field="inputSchema")
    parameters = {"type": "object", "properties": {}} | clean_schema(schema)
    hints = tool.annotations or types.ToolAnnotations()
    return Definition(
        name=tool.name,
        description=clip(clean(tool.description or "").strip(), MAX_DESCRIPTION_BYTES),
        parameters=parameters,
        arguments=SchemaArguments(schema),
        sha256=hash_of(tool),
        read_only=hints.read_only_hint,
        idempotent=hints.idempotent_hint,
        destructive=hints.destructive_hint,
        size=size,
    )


def define_all(
    tools: Iterable[types.Tool], known: Mapping[str, Definition]
) -> tuple[list[Definition], dict[str, str]]:
    """Return the tools that can be used, and why others cannot.

    Args:
        known: what was defined before, by its hash: it need not be checked again.

    """
    found: dict[str, Definition] = {}
    left_out: dict[str, str] = {}
    size = 0
    for tool in tools:
        try:
            definition = known.get(hash_of(tool)) or define(tool)
        except InvalidInput as error:
            left_out[clip(clean(tool.name), 80)] = str(error)
            continue
        if definition.name in found:
            left_out[definition.name] = "listed twice"
        elif len(found) >= MAX_TOOLS:
            left_out[definition.name] = f"one of more than {MAX_TOOLS} tools"
        elif size + definition.size > MAX_SCHEMAS_BYTES:
            left_out[definition.name] = "the server's schemas are too large together"
        else:
            found[definition.name] = definition
            size += definition.size
    return list(found.values()), left_out


def hash_of(tool: types.Tool) -> str:
    """SHA-256 over all that the server says of a tool, in its own words."""
    said = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "outputSchema": tool.output_schema,
        "annotations": tool.annotations.model_dump(by_alias=True, exclude_none=True)
        if tool.annotations
        else None,
    }
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()
