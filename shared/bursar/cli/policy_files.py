"""Policies as files: what ``bursar policy set`` reads and ``show`` writes."""

import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bursar.errors import InvalidInput

if TYPE_CHECKING:
    from bursar.client import PolicyView

__all__ = ["add_rules", "as_toml", "read_policy_file"]

_LISTS = ("blocked", "ask", "allow")


def read_policy_file(path: Path) -> dict[str, list[str]]:
    """Read a policy, as JSON if it looks like that, else as TOML; ``-`` is the standard input.

    Raises:
        InvalidInput: It cannot be read; or names the pattern that is wrong.

    """
    from bursar.gate.policy import Policy

    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot be read: {error}", field=str(path)) from None
    try:
        data: Any = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except ValueError as error:
        raise InvalidInput(f"expected TOML or JSON: {error}", field=str(path)) from None
    return Policy.from_dict(data).to_dict()


def add_rules(
    lists: Mapping[str, Sequence[str]], more: Mapping[str, Sequence[str]], drop: Sequence[str]
) -> dict[str, list[str]]:
    """Add rules to a policy, each once, and take some out.

    Raises:
        InvalidInput: One that is to be taken out is not there.

    """
    for pattern in drop:
        if not any(pattern in lists.get(name, ()) for name in _LISTS):
            raise InvalidInput(f"the policy has no rule {pattern!r}", field="--drop")
    found = {}
    for name in _LISTS:
        kept = [pattern for pattern in lists.get(name, ()) if pattern not in drop]
        found[name] = list(dict.fromkeys([*kept, *more.get(name, ())]))
    return found


def as_toml(view: "PolicyView") -> str:
    """The three lists, one pattern a line."""
    return "\n".join(_list(name, getattr(view, name)) for name in _LISTS)


def _list(name: str, patterns: Sequence[str]) -> str:
    if not patterns:
        return f"{name} = []"
    lines = "".join(f"    {json.dumps(pattern, ensure_ascii=False)},\n" for pattern in patterns)
    return f"{name} = [\n{lines}]"
