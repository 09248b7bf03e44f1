"""The user's price file: what is wrong with it is said whole, and what it says holds exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.pricing import PriceFileError, Pricer
from tachograph.pricing.dimensions import TOKENS, TOOLS
from tachograph.records import NOWHERE, Cost, LLMCall, Usage

PARTS, USES = ", ".join(TOKENS), ", ".join((*TOOLS, "image", "video_second"))
SCOPE = "model, provider, tier, speed, region"
PRICE = '[[price]]\nmodel = "a"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "prices.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "what", "do"),
    [
        ("[[price]]\ninput = 1\n", "[[price]] number 1 names no model", 'Add model = "...".'),
        ('[[price]]\nmodel = ""\ninput = 1\n', "[[price]] number 1 names no model", 'Add model = "...".'),
        (PRICE, "[[price]] number 1 (a) has no price", "Add input and output, in US dollars per million tokens."),
        (PRICE + "input = -1\n", "[[price]] number 1 (a): input is -1, and a price is 0 or more", "Correct it."),
        (PRICE + "input = nan\n", "[[price]] number 1 (a): input is NaN, and a price is 0 or more", "Correct it."),
        (
            PRICE + 'input = "1"\n',
            "[[price]] number 1 (a): input is not a number but '1'",
            "Write US dollars, like 1.25.",
        ),
        (
            PRICE + "input = true\n",
            "[[price]] number 1 (a): input is not a number but True",
            "Write US dollars, like 1.25.",
        ),
        (
            PRICE + 'web_search = "2"\n',
            "[[price]] number 1 (a): web_search is not a number but '2'",
            "Write US dollars, like 1.25.",
        ),
        (
            PRICE + 'request = "2"\n',
            "[[price]] number 1 (a): request is not a number but '2'",
            "Write US dollars, like 1.25.",
        ),
        (
            PRICE + 'audio_hour = "2"\n',
            "[[price]] number 1 (a): audio_hour is not a number but '2'",
            "Write US dollars, like 1.25.",
        ),
        (
            PRICE + "inptu = 1\n",
            "[[price]] number 1 (a) has an unknown key 'inptu'",
            f"Keys that exist: {SCOPE}, from, above, request, audio_hour, {PARTS}, {USES}.",
        ),
        (PRICE + "input = 1\ntier = 3\n", "[[price]] number 1 (a): tier is not text but 3", "Put it in quotes."),
        (
            PRICE + 'input = 1\nfrom = "soon"\n',
            "[[price]] number 1 (a): from is no day but 'soon'",
            "Write it as from = 2026-01-31.",
        ),
        (
            PRICE + "input = 1\nfrom = 2026-01-01T00:00:00\n",
            "[[price]] number 1 (a): from is no day but datetime.datetime(2026, 1, 1, 0, 0)",
            "Write it as from = 2026-01-31.",
        ),
        (
            PRICE + "input = 1\n" + PRICE + "input = 2\n",
            "[[price]] number 2 is for the same model, provider, tier, speed, region and day as number 1",
            "Keep one of them.",
        ),
        (
            PRICE + "input = 1\nabove = 3\n",
            "[[price]] number 1 (a): above is not a list of tables",
            "Write each step as [[price.above]].",
        ),
        (
            PRICE + "input = 1\nabove = [3]\n",
            "[[price]] number 1 (a): above is not a list of tables",
            "Write each step as [[price.above]].",
        ),
        (
            PRICE + "input = 1\n[[price.above]]\ninput = 2\n",
            "[[price]] number 1 (a): a step names no input_tokens",
            "Add input_tokens = 200000.",
        ),
        (
            PRICE + "input = 1\n[[price.above]]\ninput_tokens = 0\ninput = 2\n",
            "[[price]] number 1 (a): a step names no input_tokens",
            "Add input_tokens = 200000.",
        ),
        (
            PRICE + "input = 1\n[[price.above]]\ninput_tokens = 5\noutput = 2\n",
            "[[price]] number 1 (a): the step above 5 prices 'output', which has no price below it",
            f"Price it in the [[price]] table too; words that exist: {PARTS}.",
        ),
        (
            PRICE + 'input = 1\n[[price.above]]\ninput_tokens = 5\ninput = "2"\n',
            "[[price]] number 1 (a): input is not a number but '2'",
            "Write US dollars, like 1.25.",
        ),
        ("price = 3\n", "'price' is not a list of tables", "Write each as a [[price]] table."),
        ("discount = [3]\n", "'discount' is not a list of tables", "Write each as a [[discount]] table."),
        ("[prices]\n", "'prices' is not a part of a price file", "Parts that exist: price, discount, included."),
        ("currency = 3\n", "currency is not text but 3", 'Write it as currency = "EUR".'),
        ('currency = "EUR"\n', "the prices are in EUR", "Add usd_per_unit, what one unit costs in US dollars."),
        (
            'currency = "EUR"\nusd_per_unit = 0\n',
            "usd_per_unit is 0",
            "Write what one unit of the currency costs in US dollars.",
        ),
        (
            'currency = "EUR"\nusd_per_unit = "1"\n',
            "the file: usd_per_unit is not a number but '1'",
            "Write US dollars, like 1.25.",
        ),
        ('[[discount]]\nprovider = "a"\n', "[[discount]] number 1 names no percent", "Add percent = 15."),
        (
            "[[discount]]\npercent = 101\n",
            "[[discount]] number 1: percent is 101, and a discount is at most 100",
            "Correct it.",
        ),
        (
            '[[discount]]\npercent = 1\nmodle = "a"\n',
            "[[discount]] number 1 has an unknown key 'modle'",
            "Keys that exist: model, provider, tier, speed, region, from, until, percent.",
        ),
        ("[[included]]\n", "[[included]] number 1 names neither a provider nor a model", 'Add provider = "...".'),
        (
            '[[included]]\nprovider = "a"\npercent = 3\n',
            "[[included]] number 1 has an unknown key 'percent'",
            "Keys that exist: model, provider, tier, speed, region, from, until.",
        ),
        (
            '[[included]]\nprovider = "a"\nuntil = "soon"\n',
            "[[included]] number 1: until is no day but 'soon'",
            "Write it as until = 2026-01-31.",
        ),
    ],
)
def test_a_bad_price_file_is_refused_with_the_place_the_reason_and_the_remedy(
    tmp_path: Path, text: str, what: str, do: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(PriceFileError) as caught:
        Pricer(path)
    assert (caught.value.what, caught.value.where, caught.value.do) == (what, str(path), do)


def test_a_price_file_that_is_not_there_or_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError) as caught:
        Pricer(tmp_path / "none.toml")
    assert str(caught.value) == (
        f"the price file cannot be read: No such file or directory (in {tmp_path / 'none.toml'})."
        " Correct the setting pricing.file, or unset it."
    )
    with pytest.raises(PriceFileError, match=r"the price file is not TOML: .+ \(in .+prices.toml\)\. Correct it\.$"):
        Pricer(write(tmp_path, "[[price]"))


@pytest.mark.parametrize(
    ("scope", "facts", "holds"),
    [
        ('tier = "standard"', {}, True),
        ('tier = "Default"', {"service_tier": "standard"}, True),
        ('tier = "standard"', {"service_tier": "flex"}, False),
        ('tier = ""', {"service_tier": "auto"}, True),
        ('tier = "FLEX"', {"service_tier": "flex"}, True),
        ('tier = "on_demand_flex"', {"traffic_type": "ON_DEMAND_FLEX"}, True),
        ('tier = "flex"', {"traffic_type": "ON_DEMAND_FLEX"}, True),
        ('tier = "flex"', {}, False),
        ('speed = "Standard"', {}, True),
        ('speed = "normal"', {"speed": "standard"}, True),
        ('speed = "normal"', {"speed": "fast"}, False),
        ('speed = "FAST"', {"speed": "fast"}, True),
        ('region = "EU"', {"region": "eu"}, True),
        ('region = "eu"', {}, False),
    ],
)
def test_a_price_is_for_a_tier_speed_or_region_by_any_of_its_names(
    tmp_path: Path, scope: str, facts: dict[str, str], holds: bool
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(f'[[price]]\nmodel = "no-such-model"\ninput = 1\noutput = 1\n{scope}\n', "utf-8")
    made = LLMCall(NOWHERE, "openai", "no-such-model")
    made.usage, made.outcome = Usage(1, 1), "success"
    for name, value in facts.items():
        setattr(made, name, value)
    assert Pricer(path)(made) == (
        Cost(2_000, "priced", "file:prices.toml")
        if holds
        else Cost(None, "unpriced", "", "no price for no-such-model of openai")
    )
