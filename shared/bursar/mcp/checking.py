"""Checks of what is said of an MCP server. Each names its field, and none shows a value."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from bursar.errors import InvalidInput
from bursar.gate.patterns import Action
from bursar.gate.policy import EFFECTS, RISKS
from bursar.ids import check_id
from bursar.mcp.options import REFERENCE, McpOptions, Pairs, ToolRules
from bursar.money import microusd_from_usd
from bursar.tools.tool import FALLBACKS

__all__ = [
    "HEADER",
    "VARIABLE",
    "check_command",
    "check_url",
    "checked_name",
    "checked_options",
    "checked_pairs",
]

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TOOL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BROKEN = re.compile(r"[\x00\r\n]")


def checked_name(name: str) -> str:
    if not isinstance(name, str):
        raise InvalidInput("expected a name", field="mcp.name")
    if check_id(name, "mcp.name") == "local":
        raise InvalidInput("`local` is the server of the agent's own tools", field="mcp.name")
    return name


def check_command(command: str, args: Sequence[str], place: str) -> None:
    if not isinstance(command, str) or not command or _BROKEN.search(command):
        raise InvalidInput("expected a program", field=f"{place}.command")
    if isinstance(args, str) or not all(isinstance(arg, str) for arg in args):
        raise InvalidInput("expected a list of texts", field=f"{place}.args")
    for index, arg in enumerate(args):
        if "\x00" in arg:
            raise InvalidInput("a zero byte cannot be passed", field=f"{place}.args[{index}]")


def check_url(url: str, place: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput("expected a URL", field=place) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise InvalidInput("expected http:// or https:// and a host", field=place)
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("a secret goes into `headers`, not into the URL", field=place)
    if parts.fragment or _BROKEN.search(url) or not url.isascii():
        raise InvalidInput("expected plain ASCII without a fragment", field=place)


def checked_pairs(values: Mapping[str, str], names: re.Pattern[str], place: str) -> Pairs:
    """Check names and values. No value gets into a message: it may be a secret."""
    if not isinstance(values, Mapping):
        raise InvalidInput("expected names and values", field=place)
    for name, value in values.items():
        if not isinstance(name, str) or not names.fullmatch(name):
            raise InvalidInput(f"{name!r} is no name here", field=place)
        if not isinstance(value, str) or _BROKEN.search(value):
            raise InvalidInput("expected one line of text", field=f"{place}.{name}")
        if value.startswith(REFERENCE) and not VARIABLE.fullmatch(value.removeprefix(REFERENCE)):
            raise InvalidInput("expected env: and a variable's name", field=f"{place}.{name}")
    return tuple(sorted(values.items()))


def checked_options(options: McpOptions, place: str) -> dict[str, Any]:
    given: dict[str, Any] = dict(options)
    tools = given.pop("tools", None)
    if tools is not None:
        tools = _checked_tools(tools, f"{place}.tools")
    overrides = given.pop("overrides", {})
    if not isinstance(overrides, Mapping):
        raise InvalidInput("expected options by the tool's name", field=f"{place}.overrides")
    manifest = given.pop("manifest", None)
    if manifest is not None:
        manifest = _checked_manifest(manifest, f"{place}.manifest")
    trusted = given.pop("trust_annotations", False)
    if not isinstance(trusted, bool):
        raise InvalidInput("expected True or False", field=f"{place}.trust_annotations")
    for only_of_tools in ("action", "unanswered", "safe_default"):
        if only_of_tools in given:
            field_name = f"{place}.{only_of_tools}"
            raise InvalidInput("goes into `overrides`, for a single tool", field=field_name)
    return {
        "tools": tools,
        "rules": _checked_rules(given, place),
        "overrides": _checked_overrides(overrides, tools, f"{place}.overrides"),
        "manifest": manifest,
        "trust_annotations": trusted,
    }


def _checked_tools(tools: Any, place: str) -> tuple[str, ...]:
    if isinstance(tools, str) or not isinstance(tools, Sequence):
        raise InvalidInput("expected a list of names", field=place)
    for index, name in enumerate(tools):
        _check_tool(name, f"{place}[{index}]")
    return tuple(tools)


def _check_tool(name: Any, place: str) -> None:
    if not isinstance(name, str) or not _TOOL.fullmatch(name):
        raise InvalidInput("expected 1-64 letters, digits, '_' or '-'", field=place)


def _checked_overrides(
    overrides: Mapping[str, Any], tools: tuple[str, ...] | None, place: str
) -> dict[str, ToolRules]:
    checked = {}
    for name, rules in overrides.items():
        _check_tool(name, place)
        if tools is not None and name not in tools:
            raise InvalidInput("is not among `tools`", field=f"{place}.{name}")
        if not isinstance(rules, Mapping):
            raise InvalidInput("expected options", field=f"{place}.{name}")
        checked[name] = _checked_rules(dict(rules), f"{place}.{name}")
    return checked


def _checked_manifest(manifest: Any, place: str) -> dict[str, str]:
    if not isinstance(manifest, Mapping):
        raise InvalidInput("expected hashes by the tool's name", field=place)
    for name, value in manifest.items():
        _check_tool(name, place)
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise InvalidInput("expected a SHA-256 in hex", field=f"{place}.{name}")
    return dict(manifest)


def _checked_rules(given: dict[str, Any], place: str) -> ToolRules:
    cost = given.pop("cost_usd", None)
    known = {name: given.pop(name) for name in ToolRules.__dataclass_fields__ if name in given}
    for name in given:
        raise InvalidInput("there is no such option", field=f"{place}.{name}")
    for name, choices in (("effect", EFFECTS), ("risk", RISKS), ("unanswered", FALLBACKS)):
        if name in known and known[name] not in choices:
            raise InvalidInput(f"expected one of {', '.join(choices)}", field=f"{place}.{name}")
    timeout_s = known.get("timeout_s", 1)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not timeout_s > 0:
        raise InvalidInput("expected more than 0 seconds", field=f"{place}.timeout_s")
    if "action" in known:
        try:
            Action.parse(known["action"])
        except (InvalidInput, TypeError) as error:
            message = error.message if isinstance(error, InvalidInput) else "expected text"
            raise InvalidInput(message, field=f"{place}.action") from None
    if cost is not None:
        known["cost_microusd"] = microusd_from_usd(cost, field=f"{place}.cost_usd")
    return ToolRules(**known)
