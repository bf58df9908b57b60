"""What a connection is given of the worker's environment: what is named, and the bare minimum."""

import os
from collections.abc import Mapping

from bursar.mcp import REFERENCE, Endpoint, StdioEndpoint
from bursar_worker.mcp.failures import LostError

__all__ = ["given_values", "program_environment"]

_MINIMUM = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")


def given_values(endpoint: Endpoint) -> dict[str, str]:
    """The endpoint's variables or headers, with references looked up.

    Raises:
        LostError: A variable that is referred to is not set, or cannot be a header.

    """
    pairs = endpoint.env if isinstance(endpoint, StdioEndpoint) else endpoint.headers
    return {name: _resolved(value) for name, value in pairs}


def program_environment(given: Mapping[str, str]) -> dict[str, str]:
    minimum = {name: os.environ[name] for name in _MINIMUM if name in os.environ}
    return minimum | dict(given)


def _resolved(value: str) -> str:
    if not value.startswith(REFERENCE):
        return value
    variable = value.removeprefix(REFERENCE)
    found = os.environ.get(variable)
    if found is None:
        raise LostError(f"the worker's environment has no variable {variable}")
    if "\n" in found or "\r" in found:
        raise LostError(f"the variable {variable} has more than one line")
    return found
