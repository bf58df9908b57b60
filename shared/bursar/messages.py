"""What a conversation consists of. Stored as MessagePack, one list entry a message."""

from typing import Any

import msgspec

__all__ = [
    "AssistantMessage",
    "Message",
    "ToolCall",
    "ToolMessage",
    "Usage",
    "UserMessage",
    "well_formed",
]


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one model call. ``input_tokens`` includes the two cache figures."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class ToolCall(msgspec.Struct, frozen=True):
    """A model's wish to call a tool. ``arguments`` is JSON text exactly as the model wrote it.

    Models do write malformed JSON; it is kept, and the tool call answers with an error result.
    """

    id: str
    name: str
    arguments: str = "{}"


class UserMessage(msgspec.Struct, frozen=True, omit_defaults=True, tag="user", tag_field="role"):
    text: str
    turn: str = ""
    at_ms: int = 0
    custom: dict[str, Any] = {}


class AssistantMessage(
    msgspec.Struct, frozen=True, omit_defaults=True, tag="assistant", tag_field="role"
):
    """A model's answer. ``partial`` marks text that was cut by a cancel, a limit or an error."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    turn: str = ""
    step: int = 0
    at_ms: int = 0
    partial: bool = False


class ToolMessage(msgspec.Struct, frozen=True, omit_defaults=True, tag="tool", tag_field="role"):
    """The result of one tool call; every call gets exactly one, also when it was refused.

    ``unknown`` says that the call had begun when it was cut off: it may have taken effect, and it
    was not repeated.
    """

    call_id: str
    name: str
    output: str
    is_error: bool = False
    unknown: bool = False
    turn: str = ""
    step: int = 0
    at_ms: int = 0


Message = UserMessage | AssistantMessage | ToolMessage


def well_formed(text: str) -> str:
    """Text that can be stored: lone surrogates, as of a split emoji, become question marks."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
