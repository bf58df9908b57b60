"""What a server answered, as the text that a model reads."""

import mcp_types as types
import msgspec

from bursar_worker.mcp.cleaning import one_line

__all__ = ["render"]

_MAX_NAME = 200


def render(result: types.CallToolResult) -> str:
    """Join the texts, and say of everything else what it was.

    Structured content is shown as JSON, but for where the text says the same: servers do that for
    clients that read texts only.
    """
    parts = [_part(block) for block in result.content]
    structured = result.structured_content
    if structured is not None and not _says(parts, structured):
        parts.append(msgspec.json.encode(structured).decode())
    return "\n".join(part for part in parts if part)


def _says(parts: list[str], structured: object) -> bool:
    text = "\n".join(parts)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        value = text
    # The SDK's servers wrap what is no object.
    return structured in (value, {"result": value}, {"result": text})


def _part(block: types.ContentBlock) -> str:
    if isinstance(block, types.TextContent):
        return block.text
    if isinstance(block, types.ImageContent | types.AudioContent):
        return f"[{block.type}: {_kind(block.mime_type)}, {_size(block.data)}, not shown]"
    if isinstance(block, types.ResourceLink):
        return f"[link: {one_line(block.uri, _MAX_NAME)}, {one_line(block.name, _MAX_NAME)}]"
    if isinstance(block.resource, types.TextResourceContents):
        return block.resource.text
    uri, kind = one_line(block.resource.uri, _MAX_NAME), _kind(block.resource.mime_type)
    return f"[resource: {uri}, {kind}, {_size(block.resource.blob)}, not shown]"


def _kind(mime_type: str | None) -> str:
    return one_line(mime_type or "unknown kind", _MAX_NAME)


def _size(base64: str) -> str:
    return f"{len(base64) * 3 // 4:,} bytes"
