"""Models that run in the worker: no key, no network, the same answer every time.

They do real work on text, so that the demo, the tests and the benchmarks show the real machine.
"""

from urllib.parse import parse_qsl

from bursar.errors import ModelError
from bursar.models import Model
from bursar_worker.providers.local.echo import EchoModel
from bursar_worker.providers.local.editor import EditorModel
from bursar_worker.providers.local.reader import ReaderModel

__all__ = ["EchoModel", "EditorModel", "ReaderModel", "local_model"]

_OPTIONS = {
    "echo": {"delay_ms": 60_000, "tokens": 100_000},
    "editor": {"delay_ms": 60_000},
    "reader": {"delay_ms": 60_000},
}


def local_model(name: str, rest: str) -> Model:
    """Return the model for what follows ``local:``, such as ``echo?delay_ms=20&tokens=50``."""
    kind, _, query = rest.partition("?")
    if kind not in _OPTIONS:
        known = ", ".join(f"local:{known}" for known in _OPTIONS)
        raise ModelError(f"there is no model {name!r}, only {known}", code="model_unknown")
    options = _options(name, query, _OPTIONS[kind])
    if kind == "echo":
        return EchoModel(
            name, delay_s=options.get("delay_ms", 0) / 1000, tokens=options.get("tokens", 0)
        )
    kind_of = EditorModel if kind == "editor" else ReaderModel
    return kind_of(name, delay_s=options.get("delay_ms", 0) / 1000)


def _options(name: str, query: str, limits: dict[str, int]) -> dict[str, int]:
    options: dict[str, int] = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        limit = limits.get(key)
        if limit is None:
            known = ", ".join(limits)
            raise ModelError(f"{name}: no option {key!r}, only {known}", code="model_unknown")
        if not text.isascii() or not text.isdigit() or int(text) > limit:
            raise ModelError(f"{name}: {key} is an integer of 0-{limit}", code="model_unknown")
        options[key] = int(text)
    return options
