"""The body that makes a job: a JSON document, or its inputs as lines, the rest in the query."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from bursar.decoding import convert, invalid
from bursar.errors import InvalidInput
from bursar.jobs.making import JobInput, JobSpec
from bursar.jobs.records import MAX_ITEMS

__all__ = ["NewJob"]

_line_decoder: msgspec.json.Decoder[str | JobInput] = msgspec.json.Decoder(str | JobInput)


class NewJob(JobSpec, frozen=True, forbid_unknown_fields=True):
    """As JSON, or with ``application/jsonl`` the inputs alone, one a line, options in the query."""

    @classmethod
    def of_lines(cls, body: bytes, query: Mapping[str, Any]) -> Self:
        """Read inputs from lines; blank ones are skipped.

        Raises:
            InvalidInput: names the option, or the input by its place, such as ``inputs[17].input``.

        """
        inputs: list[str | JobInput] = []
        for line in body.split(b"\n"):
            if line.strip():
                if len(inputs) == MAX_ITEMS:
                    raise InvalidInput(f"expected at most {MAX_ITEMS} of them", field="inputs")
                inputs.append(_read_line(line, f"inputs[{len(inputs)}]"))
        options: dict[str, Any] = {name: query[name] for name in query if name != "output"}
        if "inputs" in options:
            raise InvalidInput("the inputs are the body's lines", field="inputs")
        if "output" in query:
            options["output"] = convert(_json_of(query["output"]), dict[str, Any], field="output")
        try:
            return msgspec.convert(options | {"inputs": tuple(inputs)}, cls, strict=False)
        except msgspec.ValidationError as error:
            raise invalid(error, whole="query") from None


def _read_line(line: bytes, place: str) -> str | JobInput:
    try:
        return _line_decoder.decode(line)
    except msgspec.ValidationError as error:
        raise invalid(error, whole=place, prefix=place) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidInput(f"expected JSON: {error}", field=place) from None


def _json_of(value: str) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"expected JSON: {error}", field="output") from None
