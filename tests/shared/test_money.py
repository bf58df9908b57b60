from decimal import Decimal

import pytest

from bursar.errors import InvalidInput
from bursar.money import MAX_LIMIT_MICROUSD, microusd_from_usd


@pytest.mark.parametrize(
    ("usd", "microusd"),
    [
        ("0.002", 2000),
        ("0", 0),
        (3, 3_000_000),
        (Decimal("1.5"), 1_500_000),
        ("10000000", MAX_LIMIT_MICROUSD),
        ("1e-6", 1),
    ],
)
def test_dollars_become_exact_microusd(usd: str | int | Decimal, microusd: int) -> None:
    assert microusd_from_usd(usd, field="cost") == microusd


@pytest.mark.parametrize(
    "usd", [0.1, True, None, "", "x", "-1", "NaN", "Infinity", "10000000.000001", "0.0000001", "$1"]
)
def test_other_amounts_are_refused(usd: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        microusd_from_usd(usd, field="cost")  # type: ignore[arg-type]
    assert caught.value.field == "cost"
