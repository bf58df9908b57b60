"""The ledger as CSV: what people open in a spreadsheet. Light enough for clients to import."""

import csv
import io
from collections.abc import Iterable, Mapping

__all__ = ["LEDGER_FIELDS", "csv_head", "csv_rows"]

LEDGER_FIELDS = (
    "entry", "at_ms", "op", "id", "account", "accounts", "session", "turn", "step", "kind", "price",
    "cost", "actual", "tokens", "posted", "overrun", "from", "to", "tokens_from", "tokens_to",
    "time_zone", "resets_ms",
)  # fmt: skip
"""Every field that an entry may have; none has all. ``docs/redis-schema.md`` says what they are."""


def csv_head() -> str:
    return _csv([LEDGER_FIELDS])


def csv_rows(entries: Iterable[Mapping[str, str]]) -> str:
    """One line an entry; fields that it does not have are empty."""
    return _csv([entry.get(field, "") for field in LEDGER_FIELDS] for entry in entries)


def _csv(rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
