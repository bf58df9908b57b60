"""Structured answers: what a sub-agent says last has to be what its task asked for."""

from collections.abc import Sequence

from bursar.clock import wall_ms
from bursar.errors import InvalidInput, ModelError
from bursar.messages import AssistantMessage, Message, UserMessage
from bursar_worker.scope import Scope

__all__ = ["StructuredAnswer"]

_TRIES = 3
_OBJECTION = "Your answer does not fit what was asked for: "
_AGAIN = _OBJECTION + "{error}. Answer once more, with the JSON object alone."


class StructuredAnswer:
    """One a turn."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def objection(
        self, answer: AssistantMessage, history: Sequence[Message]
    ) -> UserMessage | None:
        """What is to be said about a last answer; None if it will do.

        Args:
            history: of the turn, with what was said about earlier answers.

        Raises:
            ModelError: it did not fit for the third time, or the schema is one that no answer can
                be checked against after all.

        """
        schema = await self._schema()
        if schema is None:
            return None
        # Few tasks ask for this, and the checker takes a while to load.
        from bursar.schemas import UNUSABLE, schema_of_answers

        try:
            schema_of_answers(schema).parse(answer.text)
        except InvalidInput as error:
            # The checker calls the whole of what it reads a call's arguments.
            said = error.message if error.field == "arguments" else str(error)
            objected = sum(_is_objection(message, answer.turn) for message in history)
            if objected + 1 >= _TRIES or error.code == UNUSABLE:
                raise ModelError(
                    f"its answer did not fit what was asked for: {said}", code="output_invalid"
                ) from error
            return UserMessage(_AGAIN.format(error=said), turn=answer.turn, at_ms=wall_ms())
        return None

    async def _schema(self) -> bytes | None:
        scope = self._scope
        if scope.fields.get("depth", "0") == "0":
            return None
        found: bytes | None = await scope.writer.read("HGET", scope.session.text, "output")
        return found


def _is_objection(message: Message, turn: str) -> bool:
    if not isinstance(message, UserMessage) or message.turn != turn:
        return False
    return message.text.startswith(_OBJECTION)
