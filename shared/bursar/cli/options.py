"""Options that many commands share, and the client that they lead to."""

import re
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from bursar.errors import InvalidInput
from bursar.money import microusd_from_usd

if TYPE_CHECKING:
    from bursar.client import Client

__all__ = [
    "AsJson",
    "Connection",
    "Workspace",
    "connect",
    "count_of",
    "microusd_of",
    "moment_ms_of",
    "seconds_of",
]

_SPAN = re.compile(r"(\d{1,6})(min|h|d)")
_UNITS_S = {"min": 60, "h": 3600, "d": 86_400}

Workspace = Annotated[
    str,
    typer.Option("--workspace", "-w", envvar="BURSAR_WORKSPACE", help="The workspace to work in."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@dataclass(frozen=True)
class Connection:
    url: str
    api_key: str


def connect(ctx: typer.Context, workspace: str = "default", *, timeout_s: float = 30.0) -> "Client":
    """Make the client that the command line and the environment ask for."""
    from bursar.client import Client

    connection = ctx.ensure_object(Connection)
    return Client(connection.url, connection.api_key, workspace=workspace, timeout_s=timeout_s)


def microusd_of(usd: str | None, option: str) -> int | None:
    """Read an option that is a limit in dollars; None stays None."""
    if usd is None:
        return None
    amount = microusd_from_usd(usd.removeprefix("$"), field=option)
    if not amount:
        raise InvalidInput("expected more than 0 dollars, such as 0.50", field=option)
    return amount


def count_of(number: str | None, option: str) -> int | None:
    """Read an option that is a number of things; None stays None."""
    if number is not None and not number.isdecimal():
        raise InvalidInput("expected a whole number, such as 200000", field=option)
    return None if number is None else int(number)


def seconds_of(span: str | None, option: str) -> int | None:
    """Read an option that is a span of time, such as ``90min``; None stays None."""
    if span is None:
        return None
    found = _SPAN.fullmatch(span)
    if not found:
        raise InvalidInput("expected a span of time, such as 10min, 8h or 30d", field=option)
    return int(found[1]) * _UNITS_S[found[2]]


def moment_ms_of(moment: str | None, option: str, *, time_zone: str | None = None) -> int | None:
    """Read an option that is a moment; None stays None.

    It may be a span that has passed (``90min``, ``24h``, ``7d``) by this machine's clock, or a date
    with or without a time, which is meant as in ``time_zone``, or here, unless it says otherwise.
    """
    if moment is None:
        return None
    if span := _SPAN.fullmatch(moment):
        return int((time.time() - int(span[1]) * _UNITS_S[span[2]]) * 1000)
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        raise InvalidInput(
            "expected a moment, such as 24h, 7d, 2026-03-01 or 2026-03-01T12:00+01:00",
            field=option,
        ) from None
    if found.tzinfo is None and time_zone is not None:
        found = found.replace(tzinfo=_zone(time_zone))
    return int(found.timestamp() * 1000)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(
            "expected the name of a time zone, such as Europe/Berlin", field="--time-zone"
        ) from None
