"""The arguments of a tool, taken from the hints of its function."""

import copy
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from bursar.context import ToolContext
from bursar.decoding import parse_json
from bursar.errors import InvalidInput

__all__ = ["Signature", "read_signature"]


@dataclass(frozen=True, slots=True)
class Signature:
    """``schema`` is a JSON Schema object; ``context`` is the name of the context parameter."""

    schema: dict[str, Any]
    context: str | None
    _decoder: msgspec.json.Decoder[Any]

    def parse(self, arguments_json: str) -> dict[str, Any]:
        """Return the arguments that the model gave; omitted ones are left to their defaults."""
        values = parse_json(arguments_json, self._decoder, field="arguments")
        given = msgspec.json.decode(arguments_json, type=dict[str, msgspec.Raw])
        return {name: getattr(values, name) for name in given}


def read_signature(function: Callable[..., Any], name: str) -> Signature:
    """Check and translate a function's parameters.

    Raises:
        InvalidInput: A parameter cannot be given by a model; ``field`` is ``name.parameter``.

    """
    context: str | None = None
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        place = f"{name}.{parameter.name}"
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            raise InvalidInput("tools take named parameters only, no * or **", field=place)
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise InvalidInput("positional-only parameters cannot be named", field=place)
        hint = _hint(function, parameter, place, is_first=index == 0)
        if hint is ToolContext:
            if index > 0:
                raise InvalidInput("the context is the first parameter", field=place)
            context = parameter.name
            continue
        _check_hint(hint, place)
        if parameter.default is parameter.empty:
            fields.append((parameter.name, hint))
        else:
            fields.append((parameter.name, hint, _default(parameter.default)))
    return _signature(name, fields, context)


def _hint(
    function: Callable[..., Any], parameter: inspect.Parameter, place: str, *, is_first: bool
) -> Any:
    if parameter.annotation is parameter.empty:
        if is_first and parameter.name == "ctx":
            return ToolContext
        raise InvalidInput("needs a type hint, the model sees its schema", field=place)
    holder = type("Holder", (), {"__annotations__": {parameter.name: parameter.annotation}})
    try:
        # Many modules import ToolContext for type checkers only, so its name is lent to them.
        return typing.get_type_hints(
            holder,
            globalns=getattr(inspect.unwrap(function), "__globals__", {}),
            localns={"ToolContext": ToolContext},
            include_extras=True,
        )[parameter.name]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise InvalidInput(
            f"the hint {parameter.annotation!r} cannot be resolved ({error}); import its names "
            "at the top of the module, not only for type checkers",
            field=place,
        ) from None


def _check_hint(hint: Any, place: str) -> None:
    try:
        msgspec.json.schema_components((hint,))
        msgspec.json.Decoder(hint)
    except (TypeError, ValueError, NameError) as error:
        reason = str(error).rstrip().rpartition("\n")[2]
        raise InvalidInput(f"the hint has no JSON Schema: {reason}", field=place) from None


def _default(value: Any) -> Any:
    """Return what defstruct takes: a plain default is shown to the model, another one is not."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return msgspec.field(default_factory=lambda: copy.deepcopy(value))


def _signature(name: str, fields: list[Any], context: str | None) -> Signature:
    arguments = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
    (reference,), definitions = msgspec.json.schema_components(
        (arguments,), ref_template="#/$defs/{name}"
    )
    schema = dict(definitions.pop(reference["$ref"].removeprefix("#/$defs/")))
    schema.pop("title", None)
    if definitions:
        schema["$defs"] = definitions
    return Signature(schema, context, msgspec.json.Decoder(arguments))
