"""``local:echo``: says what it was told. For benchmarks and for looking at the plumbing."""

from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import cycle

from bursar.messages import UserMessage
from bursar.models import ModelEvent, ModelRequest, Price
from bursar_worker.providers.local.summary import summarise
from bursar_worker.providers.local.tokens import BYTES_PER_TOKEN, count_input, cut, say
from bursar_worker.summarising import SUMMARY_INSTRUCTIONS

__all__ = ["EchoModel"]


class EchoModel:
    """Streams the last user text back, word by word.

    Args:
        name: As in the request, with its options.
        delay_s: Pause before each word, as a provider would make it.
        tokens: Repeat or cut the text to so many tokens; 0 leaves it as it is.

    """

    max_input_tokens = 200_000
    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))

    def __init__(self, name: str = "local:echo", *, delay_s: float = 0.0, tokens: int = 0) -> None:
        self.name = name
        self._delay_s = delay_s
        self._tokens = tokens

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        input_tokens = count_input(request, self.max_input_tokens)
        if request.system == SUMMARY_INSTRUCTIONS:
            return summarise(request, input_tokens, delay_s=self._delay_s)
        told = [m.text for m in request.messages if isinstance(m, UserMessage)]
        text = told[-1] if told and told[-1].strip() else "(nothing)"
        if self._tokens:
            text = _stretched(text, self._tokens)
        return say(text, input_tokens, max_tokens=request.max_output_tokens, delay_s=self._delay_s)


def _stretched(text: str, tokens: int) -> str:
    words: list[str] = []
    size = 0
    for word in cycle(text.split()):
        words.append(word)
        size += len(word.encode()) + 1
        if size > tokens * BYTES_PER_TOKEN:
            return cut(" ".join(words), tokens)
    return text
