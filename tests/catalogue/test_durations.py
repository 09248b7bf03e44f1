"""Lengths of time and numbers, as rules write them."""

from __future__ import annotations

import pytest

from tachograph.catalogue.alerts.parts import exceeds, human, percent, readable
from tachograph.catalogue.durations import number, seconds, text


@pytest.mark.parametrize(
    ("written", "length"),
    [
        ("0", 0), ("0s", 0), ("90s", 90), ("1h30m", 5400), ("1500ms", 1.5), ("3d", 259_200), ("1w", 604_800),
        ("1y", 31_536_000), ("1y1w1d1h1m1s1ms", 32_230_861.001),
    ],
)  # fmt: skip
def test_a_duration_is_so_many_seconds(written: str, length: float) -> None:
    assert seconds(written) == pytest.approx(length, abs=1e-9)
    assert isinstance(seconds(written), float)


@pytest.mark.parametrize("written", ["", "5", "m", "5 m", "5m ", "1.5h", "-5m", "5M", "00"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=f"^{written!r} is not a Prometheus duration$"):
        seconds(written)


@pytest.mark.parametrize(
    ("length", "written"),
    [
        (0, "0s"), (0.4, "0s"), (0.6, "1s"), (1, "1s"), (59, "59s"), (60, "1m"), (61, "1m1s"), (90, "1m30s"),
        (3599, "59m59s"), (3600, "1h"), (3601, "1h1s"), (86_399, "23h59m59s"), (86_400, "1d"), (90_061, "1d1h1m1s"),
        (604_800, "7d"), (31_536_000, "365d"),
    ],
)  # fmt: skip
def test_a_length_has_its_shortest_spelling(length: float, written: str) -> None:
    assert text(length) == written
    assert seconds(written) == round(length)


def test_numbers_are_written_as_people_do() -> None:
    values = (50000, 0.05, 100.0, 0.1 + 0.2, -3.5, 999_999_999_999, 1e12, -1e12, 1e15)
    assert [number(value) for value in values] == [
        "50000", "0.05", "100", "0.3", "-3.5", "999999999999", "1000000000000.0", "-1000000000000.0",
        "1000000000000000.0",
    ]  # fmt: skip
    assert [human(value) for value in (0.5, 0.0001, 0.999, 1, 1.5, 90)] == [
        "500ms", "0.1ms", "999ms", "1s", "1500ms", "1m30s",
    ]  # fmt: skip
    assert [exceeds(factor) for factor in (1, 1.0, 14.4, 6)] == [
        "more than", "more than", "more than 14.4 times", "more than 6 times",
    ]  # fmt: skip
    assert [percent(share) for share in (0.1 + 0.2, 1, 0.12345678912)] == ["30%", "100%", "12.345678912%"]


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        ("for 3m.", "for 3 min."),
        ("in 500ms, 2h and 1d", "in 500 ms, 2 h and 1 d"),
        ("{{ $value }} in 5m", "{{ $value }} in 5 min"),
        ("{{ 5m }} of a5m 5max", "{{ 5m }} of a5m 5max"),
    ],
)
def test_lengths_in_texts_are_written_with_spaces_but_not_in_templates(rule: str, shown: str) -> None:
    assert readable(rule) == shown
