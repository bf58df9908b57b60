import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from bursar.budgets.pricing import PriceBook
from bursar.errors import InvalidInput, ModelError
from bursar.messages import Usage
from bursar.models import Price

FLAT = Price(input_usd_per_mtok=Decimal("0.25"), output_usd_per_mtok=Decimal(2))


def book(tmp_path: Path, text: str) -> PriceBook:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return PriceBook(path)


def test_a_flat_price_is_charged_rounded_up() -> None:
    quote = PriceBook().quote("local:echo", FLAT)
    assert quote.version == "flat"
    assert quote.cost_microusd(Usage(input_tokens=1, output_tokens=1)) == 3
    assert quote.cost_microusd(Usage(input_tokens=1, output_tokens=1)) == FLAT.cost_microusd(
        Usage(input_tokens=1, output_tokens=1)
    )
    assert quote.output_microusd_per_token == 2


def test_a_flat_price_does_not_load_the_price_table() -> None:
    code = (
        "import sys; from decimal import Decimal; from bursar.budgets.pricing import PriceBook; "
        "from bursar.models import Price; PriceBook().quote('x', Price(Decimal(1), Decimal(1))); "
        "sys.exit('genai_prices' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[3] / "shared")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == 0


def test_the_table_knows_models_of_providers() -> None:
    quote = PriceBook().quote("openai:gpt-4.1")
    assert quote.version.startswith("genai-prices ")
    usage = Usage(input_tokens=1_000_000, output_tokens=1000, cache_read_tokens=400_000)
    assert quote.cost_microusd(usage) == 600_000 * 2 + 400_000 // 2 + 8000
    assert PriceBook().quote("openai-chat:gpt-4.1").tiers == quote.tiers


def test_the_table_knows_windows_of_models() -> None:
    book = PriceBook()
    assert book.window_tokens("anthropic:claude-sonnet-4-5") == 200_000
    assert book.window_tokens("openai:gpt-4.1") == 1_000_000
    for unknown in ("local:echo", "mine", "openai:no-such-model-of-theirs"):
        assert book.window_tokens(unknown) is None


def test_a_tier_holds_for_all_tokens_of_a_call_above_its_start() -> None:
    quote = PriceBook().quote("anthropic:claude-sonnet-4-5")
    assert quote.cost_microusd(Usage(input_tokens=200_000)) == 600_000
    assert quote.cost_microusd(Usage(input_tokens=200_001)) == 1_200_006


def test_the_worst_case_takes_the_dearest_tier_and_the_price_of_writing_caches() -> None:
    quote = PriceBook().quote("anthropic:claude-sonnet-4-5")
    assert quote.worst_case_microusd(1000, 100) == 1000 * Decimal("3.75") + 100 * 15
    assert quote.worst_case_microusd(200_001, 0) == -(-200_001 * 15 // 2)


@pytest.mark.parametrize("name", ["openai:no-such-model", "nobody:gpt-4.1", "gpt-4.1", "scripted"])
def test_an_unknown_price_is_refused_with_both_remedies(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        PriceBook().quote(name)
    assert caught.value.code == "price_unknown"
    assert not caught.value.retryable
    for text in (name, f'[models."{name}"]', "price = Price("):
        assert text in caught.value.message


def test_the_file_wins_over_flat_prices_and_the_table(tmp_path: Path) -> None:
    prices = book(
        tmp_path,
        '[models."openai:gpt-4.1"]\ninput_usd_per_mtok = "1.25"\noutput_usd_per_mtok = 10\n'
        "cache_read_usd_per_mtok = 0.1\n",
    )
    quote = prices.quote("openai:gpt-4.1", FLAT)
    assert quote.version.startswith("override ")
    assert len(quote.version) == len("override ") + 8
    assert quote.tiers[0].input == Decimal("1.25")
    assert quote.tiers[0].cache_read == Decimal("0.1")
    assert quote.tiers[0].cache_write == Decimal("1.25")
    assert prices.quote("local:echo", FLAT).version == "flat"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[models.a]\ninput_usd_per_mtok = 1\n", "prices.models.a.output_usd_per_mtok"),
        (
            '[models.a]\ninput_usd_per_mtok = "-1"\noutput_usd_per_mtok = 1\n',
            "prices.models.a.input_usd_per_mtok",
        ),
        (
            '[models.a]\ninput_usd_per_mtok = "nan"\noutput_usd_per_mtok = 1\n',
            "prices.models.a.input_usd_per_mtok",
        ),
        (
            "[models.a]\ninput_usd_per_mtok = true\noutput_usd_per_mtok = 1\n",
            "prices.models.a.input_usd_per_mtok",
        ),
        (
            "[models.a]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\ninptu = 1\n",
            "prices.models.a.inptu",
        ),
        ("models = 1\n", "prices"),
        ("[model.a]\n", "prices"),
        ("not toml", "prices"),
    ],
)
def test_a_wrong_file_names_the_place(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        book(tmp_path, text)
    assert caught.value.field == field


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        PriceBook(tmp_path / "none.toml")
    assert caught.value.field == "prices"
