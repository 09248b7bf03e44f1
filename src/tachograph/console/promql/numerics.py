"""Number helpers that must agree with Go to the last digit: compensated sums, formatting, comparison."""

from __future__ import annotations

from decimal import Decimal
from math import inf, isfinite

import numpy as np

from tachograph.console.promql.types import Bools, Floats

_NOT_FINITE = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}
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
    tiny = size < MIN_NORMAL
    close = np.where(
        tiny,
        difference < epsilon * MIN_NORMAL,
        difference / np.minimum(size, MAX_FLOAT) < epsilon,
    )
    result: Bools = (np.isnan(a) & np.isnan(b)) | (a == b) | close
    return result


def plain_decimal(value: float) -> str:
    """Write a float as Go's FormatFloat(v, 'f', -1, 64): shortest digits that round-trip, no exponent."""
    if not isfinite(value):
        return _NOT_FINITE[repr(float(value))]
    text = repr(float(value))
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def sample_text(value: float) -> str:
    """Write a sample value as Prometheus' JSON API does: plain, with an exponent only when very large or small.

    Source: https://github.com/prometheus/prometheus/blob/main/util/jsonutil/marshal.go (2026-11-23).
    """
    size = abs(value)
    return exponential(value) if 0 < size < 1e-6 or 1e21 <= size < inf else plain_decimal(value)


def exponential(value: float) -> str:
    """Write a finite float as Go's FormatFloat(v, 'e', -1, 64): 1 is 1e+00."""
    mantissa, _, exponent = f"{Decimal(repr(value)).normalize():e}".partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:].zfill(2)}"


def general(value: float) -> str:
    """Write a float as Go's %g and %v: shortest digits, with an exponent from a million on and below 1e-4.

    Go decides with a precision of 6 whatever the digits: 100000 stays, 1000000 is 1e+06.
    """
    size = abs(value)
    return exponential(value) if 0 < size < 1e-4 or 1e6 <= size < inf else plain_decimal(value)
