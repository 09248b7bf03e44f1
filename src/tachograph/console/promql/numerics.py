"""Number helpers that must agree with Go to the last digit: compensated sums, formatting, comparison."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from tachograph.console.promql.types import Bools, Floats

MIN_NORMAL = float(np.finfo(np.float64).tiny)
MAX_FLOAT = float(np.finfo(np.float64).max)


def kahan_step(x: Floats, total: Floats, carry: Floats, active: Bools) -> tuple[Floats, Floats]:
    """Add x to a running sum with Neumaier's compensation, where `active`.

    Source: https://github.com/prometheus/prometheus/blob/main/util/kahansum/kahansum.go (2026-11-23).
    """
    t = total + x
    lost = np.where(np.abs(total) >= np.abs(x), (total - t) + x, (x - t) + total)
    new_carry = np.where(np.isinf(t), 0.0, carry + lost)
    return np.where(active, t, total), np.where(active, new_carry, carry)


def almost_equal(a: Floats, b: Floats, epsilon: float) -> Bools:
    """Return where two values differ by less than their sum times epsilon; NaN equals NaN."""
    size = np.abs(a) + np.abs(b)
    difference = np.abs(a - b)
    tiny = (a == 0) | (b == 0) | (size < MIN_NORMAL)
    close = np.where(
        tiny,
        difference < epsilon * MIN_NORMAL,
        difference / np.minimum(np.where(size == 0, 1.0, size), MAX_FLOAT) < epsilon,
    )
    result: Bools = (np.isnan(a) & np.isnan(b)) | (a == b) | close
    return result


def plain_decimal(value: float) -> str:
    """Write a float as Go's FormatFloat(v, 'f', -1, 64): shortest digits that round-trip, no exponent."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(float(value))
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def sample_text(value: float) -> str:
    """Write a sample value as Prometheus' JSON API does: plain, with an exponent only when very large or small.

    Source: https://github.com/prometheus/prometheus/blob/main/util/jsonutil/marshal.go (2026-11-23).
    """
    size = abs(value)
    if size != 0 and size == size and (size < 1e-6 or size >= 1e21) and size != float("inf"):
        mantissa, _, exponent = f"{Decimal(repr(value)).normalize():e}".partition("e")
        sign = exponent[0] if exponent[0] in "+-" else "+"
        digits = exponent.lstrip("+-")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{sign}{digits.zfill(2)}"
    return plain_decimal(value)


def general(value: float) -> str:
    """Write a float as Go's %g and %v: shortest digits, with an exponent from a million on and below 1e-4.

    Go decides with a precision of 6 whatever the digits: 100000 stays, 1000000 is 1e+06.
    """
    if value == 0 or value != value or value in (float("inf"), float("-inf")):
        return plain_decimal(value)
    if 1e-4 <= abs(value) < 1e6:
        return plain_decimal(value)
    mantissa, _, exponent = f"{Decimal(repr(value)):e}".partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{exponent[0]}{exponent[1:].zfill(2)}"
