"""What a JSON Schema is good for: arguments of a call and answers, checked strictly against it.

The schema is a stranger's. So nothing in it may cost more than a bounded amount of work: patterns
run on an engine whose time grows with the text only, references stay within the document, and
each check of a keyword counts. A few keywords are left to the server to check: those that describe
what other keywords left over (``unevaluated…``), and patterns that look around or back.
"""

import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
from jsonschema import ValidationError
from jsonschema.exceptions import best_match
from jsonschema.validators import Draft202012Validator, extend, validator_for
from referencing import Registry

from bursar.decoding import parse_json
from bursar.errors import InvalidInput
from bursar.linear import LinearPattern

__all__ = [
    "CONTEXT",
    "MAX_SCHEMA_BYTES",
    "UNUSABLE",
    "SchemaArguments",
    "bounded",
    "schema_of_answers",
]

CONTEXT = "\0context"
"""The keyword of the call's context: no argument that a schema can name is called that."""

MAX_SCHEMA_BYTES = 65_536
UNUSABLE = "schema_unusable"
"""Code of the error for arguments that are not to blame: the schema refers to what is not there."""

_MAX_DEPTH = 32
_MAX_WORK = 100_000
_MAX_NESTING = 64  # of keywords: a reference to itself must end long before Python's own limit
_MAX_CHARS = 200

_Check = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class _TooMuchWorkError(Exception):
    pass


@dataclass
class _Work:
    """What one check may still cost. The text of an error may hold the whole of the arguments."""

    left: int
    an_error: int
    nesting: int = 0

    def spend(self, work: int) -> None:
        self.left -= work
        if self.left < 0 or self.nesting > _MAX_NESTING:
            raise _TooMuchWorkError


_work: ContextVar[_Work] = ContextVar("work")


def bounded(schema: dict[str, Any], field: str) -> bytes:
    """Return a schema as JSON.

    Raises:
        InvalidInput: it is too large, or too deep to be worked on; names ``field``.

    """
    if _too_deep(schema):
        raise InvalidInput(f"expected at most {_MAX_DEPTH} levels", field=field)
    encoded = msgspec.json.encode(schema)
    if len(encoded) > MAX_SCHEMA_BYTES:
        raise InvalidInput(f"expected at most {MAX_SCHEMA_BYTES:,} bytes", field=field)
    return encoded


@functools.lru_cache(maxsize=128)
def schema_of_answers(schema_json: bytes) -> "SchemaArguments":
    """Return what answers are checked with; the sub-agents of a job all have the same one.

    Raises:
        InvalidInput: it is no JSON Schema; ``field`` is ``output``.

    """
    return SchemaArguments(msgspec.json.decode(schema_json), field="output")


class SchemaArguments:
    """An `ArgumentReader` made of a schema.

    Raises:
        InvalidInput: It is no JSON Schema; names ``field``.

    """

    context = CONTEXT

    def __init__(self, schema: dict[str, Any], *, field: str = "inputSchema") -> None:
        standard, plain = _standard(schema, field), _without_dialects(schema)
        try:
            error = best_match(_metaschema(standard).iter_errors(plain))
        except RecursionError:
            raise InvalidInput("no JSON Schema: it never ends", field=field) from None
        if error is not None:
            raise InvalidInput(f"no JSON Schema: {_short(error)}", field=field)
        self._validator = _bounded(standard)(plain, registry=Registry())

    def parse(self, arguments_json: str) -> dict[str, Any]:
        values = parse_json(arguments_json, _OBJECT, field="arguments")
        token = _work.set(_Work(_MAX_WORK, 1 + len(arguments_json) // 64))
        try:
            error = next(self._validator.iter_errors(values), None)
        except _TooMuchWorkError:
            raise InvalidInput(
                "cannot be checked, the schema asks for too much work", field="arguments"
            ) from None
        except Exception as error:
            # A schema can be of the right form and still make no sense, such as a $ref to nowhere.
            what = f"{type(error).__name__}: {error}"[:_MAX_CHARS]
            raise InvalidInput(
                f"cannot be checked against the schema ({what})", field="arguments", code=UNUSABLE
            ) from error
        finally:
            _work.reset(token)
        if error is not None:
            raise InvalidInput(_short(error), field=_place(error) or "arguments")
        return values


_OBJECT = msgspec.json.Decoder(dict[str, Any])


def _too_deep(schema: Any) -> bool:
    level: list[Any] = [schema]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _short(error: ValidationError) -> str:
    message = str(error.message)
    return message if len(message) <= _MAX_CHARS else message[:_MAX_CHARS] + "…"


def _place(error: ValidationError) -> str:
    steps = (f"[{s}]" if isinstance(s, int) else f".{s}" for s in error.absolute_path)
    return "".join(steps).removeprefix(".")[:_MAX_CHARS]


def _standard(schema: dict[str, Any], field: str) -> Any:
    """The dialect of a schema."""
    dialect = schema.get("$schema", "")
    if not isinstance(dialect, str):
        raise InvalidInput("no JSON Schema: `$schema` is not text", field=field)
    try:
        urlsplit(dialect)
    except ValueError as error:
        raise InvalidInput(f"no JSON Schema: `$schema`: {error}", field=field) from None
    return validator_for(schema, default=Draft202012Validator)


@functools.cache
def _metaschema(standard: Any) -> Any:
    """What schemas of a dialect are checked with: its own comparison of items is quadratic."""
    bounded_standard = extend(standard, {"uniqueItems": _check_unique})
    return bounded_standard(standard.META_SCHEMA, format_checker=standard.FORMAT_CHECKER)


def _without_dialects(schema: Any) -> Any:
    """A part that names a dialect of its own would be checked by that dialect's unbounded rules."""
    if isinstance(schema, list):
        return [_without_dialects(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_dialects(value)
        for key, value in schema.items()
        if not (key == "$schema" and isinstance(value, str))
    }


@functools.cache
def _bounded(standard: Any) -> Any:
    checks = {**standard.VALIDATORS, **{k: v for k, v in _OWN.items() if k in standard.VALIDATORS}}
    return extend(standard, {keyword: _counted(check) for keyword, check in checks.items()})


def _counted(check: _Check) -> _Check:
    def counted(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        work = _work.get()
        work.nesting += 1
        try:
            work.spend(1)
            for error in check(validator, value, instance, schema) or ():
                work.spend(work.an_error)
                yield error
        finally:
            work.nesting -= 1

    return counted


@functools.lru_cache(maxsize=1024)
def _pattern(text: str) -> LinearPattern | None:
    try:
        return LinearPattern(text)
    except InvalidInput:
        return None


def _matches(pattern: str, text: str) -> bool:
    """Whether the text has the pattern in it, or the pattern is one that is not checked here."""
    compiled = _pattern(pattern)
    return compiled is None or compiled.search(text)


def _check_pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _matches(pattern, value):
        yield ValidationError(f"does not match {pattern!r}")


def _check_pattern_properties(
    validator: Any, patterns: dict[str, Any], value: Any, _: Any
) -> Iterator[ValidationError]:
    for pattern, schema in patterns.items() if isinstance(value, dict) else ():
        for name, each in value.items():
            if _pattern(pattern) and _matches(pattern, name):
                yield from validator.descend(each, schema, path=name, schema_path=pattern)


def _check_further(
    validator: Any, further: Any, value: Any, schema: dict[str, Any]
) -> Iterator[ValidationError]:
    """``additionalProperties``."""
    if not isinstance(value, dict):
        return
    patterns = schema.get("patternProperties", {})
    for name, each in value.items():
        if name in schema.get("properties", {}) or any(_matches(p, name) for p in patterns):
            continue
        if further is False:
            yield ValidationError("unknown, there is no such field", path=[name])
        else:
            yield from validator.descend(each, further, path=name)


def _check_required(_: Any, names: list[str], value: Any, __: Any) -> Iterator[ValidationError]:
    for name in names if isinstance(value, dict) else ():
        if name not in value:
            yield ValidationError("required, but not given", path=[name])


def _check_unique(_: Any, wanted: bool, value: Any, __: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(value, list):
        texts = {msgspec.json.encode(each, order="deterministic") for each in value}
        if len(texts) < len(value):
            yield ValidationError("has an item twice")


def _left_to_the_server(*_: Any) -> None:
    return None


_OWN: dict[str, _Check] = {
    "pattern": _check_pattern,
    "patternProperties": _check_pattern_properties,
    "additionalProperties": _check_further,
    "required": _check_required,
    "uniqueItems": _check_unique,
    "unevaluatedItems": _left_to_the_server,
    "unevaluatedProperties": _left_to_the_server,
}
