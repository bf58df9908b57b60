"""Structured answers: what a sub-agent says last has to be what its task asked for."""

from bursar.clock import wall_ms
from bursar.errors import InvalidInput, ModelError
from bursar.messages import UserMessage
from bursar_worker.scope import Scope

__all__ = ["StructuredAnswer"]

_TRIES = 3
_AGAIN = (
    "Your answer does not fit what was asked for: {error}. Answer once more, with the JSON object "
    "alone."
)


class StructuredAnswer:
    """One a turn."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._tried = 0

    async def objection(self, answer: str, turn: str) -> UserMessage | None:
        """What is to be said about a last answer; None if it will do.

        Raises:
            ModelError: it did not fit for the third time.

        """
        schema = await self._schema()
        if schema is None:
            return None
        # Few tasks ask for this, and the checker takes a while to load.
        from bursar.schemas import schema_of_answers

        try:
            schema_of_answers(schema).parse(answer)
        except InvalidInput as error:
            # The checker calls the whole of what it reads a call's arguments.
            said = error.message if error.field == "arguments" else str(error)
            self._tried += 1
            if self._tried == _TRIES:
                raise ModelError(
                    f"its answer did not fit what was asked for: {said}", code="output_invalid"
                ) from error
            return UserMessage(_AGAIN.format(error=said), turn=turn, at_ms=wall_ms())
        return None

    async def _schema(self) -> bytes | None:
        scope = self._scope
        if scope.fields.get("depth", "0") == "0":
            return None

        async def read() -> bytes | None:
            found: bytes | None = await scope.store.redis.call("HGET", scope.session.text, "output")
            return found

        return await scope.writer.write(read)
