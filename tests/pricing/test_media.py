"""Images and seconds of video, priced by what they are: quality, size, resolution, sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.pricing import PriceFileError, Pricer
from tachograph.records import NOWHERE, Cost, LLMCall, Usage

WHEN = 1_764_000_000 * 10**9


def cost(provider: str, model: str, usage: Usage, pricer: Pricer | None = None) -> Cost:
    call = LLMCall(NOWHERE, provider, model, usage=usage, started_unix_ns=WHEN)
    call.outcome = "success"
    found = (pricer or Pricer())(call)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("provider", "model", "item", "usd"),
    [
        ("openai", "dall-e-3", "image/standard/1024x1024", 0.04),
        ("openai", "dall-e-3", "image/hd/1792x1024", 0.12),
        ("azure", "dall-e-3", "image/hd/1024x1024", 0.088),
        ("openai", "dall-e-2", "image/512x512", 0.018),
        ("openai", "sora-2", "video_second/1280x720", 0.10),
        ("openai", "sora-2-pro-2025-10-06", "video_second/1024x1792", 0.50),
        ("gemini", "imagen-4.0-ultra-generate-001", "image/2k", 0.06),
        ("gemini", "imagen-4.0-fast-generate-001", "image", 0.02),
        ("vertex", "veo-3.1-generate-001", "video_second/4k", 0.60),
        ("gemini", "veo-3.1-fast-generate-preview", "video_second/1080p", 0.12),
        ("gemini", "veo-2.0-generate-001", "video_second/720p", 0.50),
    ],
)
def test_an_item_has_the_price_of_what_it_is(provider: str, model: str, item: str, usd: float) -> None:
    found = cost(provider, model, Usage(tool_uses={item: 3}))
    assert (found.quality, found.nano_usd) == ("priced", round(usd * 3 * 10**9))


def test_what_no_price_is_known_for_is_named() -> None:
    odd = cost("openai", "dall-e-3", Usage(tool_uses={"image/hd/999x999": 1}))
    assert (odd.quality, odd.nano_usd, odd.detail) == ("unpriced", None, "no price for image/hd/999x999")
    lost = cost("gemini", "veo-3.1-generate-preview", Usage(tool_uses={"video/unknown_length": 1}))
    assert (lost.quality, lost.detail) == ("unpriced", "no price for video/unknown_length")


def test_a_video_without_sound_at_the_price_of_one_with_sound_is_an_estimate() -> None:
    found = cost("vertex", "veo-3.1-generate-001", Usage(tool_uses={"video_second/1080p/silent": 8}))
    assert (found.quality, found.nano_usd) == ("estimated", 3_200_000_000)
    assert "without sound" in found.detail


def test_an_image_of_a_model_that_bills_tokens_is_an_estimate_where_none_are_told() -> None:
    found = cost("openai", "gpt-image-1.5", Usage(tool_uses={"image/high/1536x1024": 2}))
    assert (found.quality, found.nano_usd) == ("estimated", 400_000_000)
    assert "no token usage" in found.detail


def test_what_a_model_puts_out_as_video_has_its_own_price() -> None:
    used = Usage(1000, 60_000, {"video_output": 50_000})
    assert cost("gemini", "gemini-omni-1.1-flash", used).nano_usd == 1000 * 1500 + 10_000 * 9000 + 50_000 * 17_500
    assert cost("gemini", "gemini-omni-1.2-flash", used).nano_usd == 1000 * 1500 + 10_000 * 9000 + 50_000 * 12_000
    other = cost("gemini", "gemini-2.5-flash", used)
    assert (other.quality, other.detail) == ("estimated", "no price for video_output")


def test_images_that_were_cached_have_their_own_price() -> None:
    details = {"image_input": 800, "cache_read": 700, "image_cache_read": 600}
    found = cost("openai", "gpt-image-2", Usage(1000, 10, details))
    text, text_cached, image, image_cached = 100, 100, 200, 600
    expected = text * 5000 + text_cached * 1250 + image * 8000 + image_cached * 2000 + 10 * 30_000
    assert (found.quality, found.nano_usd) == ("priced", expected)
    del details["image_cache_read"]
    assert "how much of the image was cached" in cost("openai", "gpt-image-2", Usage(1000, 10, details)).detail


def test_a_model_that_the_bundled_prices_lack_has_its_vendor_s() -> None:
    found = cost("openai", "gpt-image-2.6-sunburst", Usage(1000, 7000, {"image_output": 7000}))
    assert (found.quality, found.nano_usd) == ("priced", 1000 * 5000 + 7000 * 30_000)


def test_a_price_file_prices_items_by_their_words(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(
        '[[price]]\nmodel = "draw"\nimage = 0.01\n"image/hd" = 0.02\n"image/hd/1024x1792" = 0.05\n'
        'video_second = 0.1\n"video_second/4k/silent" = 0.3\n'
    )
    pricer = Pricer(path)
    for item, usd in {
        "image": 0.01,
        "image/low/64x64": 0.01,
        "image/hd/64x64": 0.02,
        "image/hd/1024x1792": 0.05,
        "video_second/720p": 0.1,
        "video_second/4k/silent": 0.3,
    }.items():
        found = cost("mine", "draw", Usage(tool_uses={item: 2}), pricer)
        assert (found.quality, found.nano_usd) == ("priced", round(usd * 2 * 10**9)), item
    path.write_text('[[price]]\nmodel = "draw"\n"picture/hd" = 1\n')
    with pytest.raises(PriceFileError, match="unknown key 'picture/hd'"):
        Pricer(path)
