"""What every vendor's usage report has in common: bounds, the cross-check, and its place in the record.

Reports are believed only as far as they agree with themselves: what contradicts itself is resolved by what is known of
the host (`dialects`), or reported in `usage_mismatch`, which is counted (`llm_usage_mismatch_total`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tachograph.records.usage import Usage
from tachograph.vendors.fields import pick

if TYPE_CHECKING:
    from tachograph.records import LLMCall

MISMATCHES: Final = ("absurd", "early", "incomplete", "parts", "reasoning_outside", "total", "zeros")
"""The values of `usage_mismatch`.

absurd: a count that is negative, no whole number, or beyond `fields.MOST`. early: a stream went on with content after
its last report, so the report is no total. incomplete: one side is missing and follows from the total. parts: cached
tokens or reasoning exceed what they are parts of. reasoning_outside: the completion left reasoning out, at a host that
is not known for it. total: prompt and completion are not the total, for no known reason. zeros: the report says nothing
was used.
"""
_DEAREST_USD: Final = 1_000_000


class Reading(msgspec.Struct):
    """What a usage report says.

    Attributes:
        usage: The tokens, or None when none are reported.
        mismatch: One of `MISMATCHES`.
        unknown: Fields that may be billed and that no table has.
        stated_cost_nano_usd: The vendor's own figure.
        service_tier, speed, region, traffic_type: What else the price depends on, where the report has it.
        own, others: What the call's own model used, and what others did, where these are distinguished.
    """

    usage: Usage | None = None
    mismatch: str | None = None
    unknown: tuple[str, ...] = ()
    stated_cost_nano_usd: int | None = None
    service_tier: str | None = None
    speed: str | None = None
    region: str | None = None
    traffic_type: str | None = None
    own: Usage | None = None
    others: tuple[tuple[str, Usage], ...] = ()

    def __add__(self, other: Reading) -> Reading:
        """Two requests of one call."""
        usage = other.usage if self.usage is None else self.usage if other.usage is None else self.usage + other.usage
        costs = [cost for cost in (self.stated_cost_nano_usd, other.stated_cost_nano_usd) if cost is not None]
        return Reading(
            usage,
            self.mismatch or other.mismatch,
            tuple(dict.fromkeys(self.unknown + other.unknown)),
            sum(costs) if costs else None,
            other.service_tier or self.service_tier,
            other.speed or self.speed,
            other.region or self.region,
            other.traffic_type or self.traffic_type,
        )

    def put(self, call: LLMCall) -> None:
        """Into a record. What this report does not tell stays as it was, but for the tokens."""
        call.usage = self.usage
        call.usage_mismatch = self.mismatch
        if self.unknown:
            call.unknown_billables = tuple(dict.fromkeys(call.unknown_billables + self.unknown))
        if self.stated_cost_nano_usd is not None:
            call.stated_cost_nano_usd = self.stated_cost_nano_usd
        if self.service_tier is not None:
            call.service_tier = self.service_tier
        if self.speed is not None:
            call.speed = self.speed
        if self.region is not None:
            call.region = self.region
        if self.traffic_type is not None:
            call.traffic_type = self.traffic_type
        if self.others:
            call.others = self.others
            call.usages = () if self.own is None else (self.own,)


def bounded(reading: Reading, said: Sequence[object], counts: Sequence[int | None]) -> Reading:
    """A reading whose counts were looked at: all zeros are no report, and what is no count is reported.

    Args:
        reading: As read, with `usage` set where any count was readable.
        said: The totals as they were reported.
        counts: `wholes` of these.
    """
    if counts is not said and sum(count is None for count in counts) != sum(count is None for count in said):
        reading.mismatch = "absurd"
    usage = reading.usage
    if usage is None:
        return reading
    if not usage.input_tokens and not usage.output_tokens and usage.audio_seconds is None and not usage.tool_uses:
        return Reading(None, reading.mismatch or "zeros", reading.unknown, reading.stated_cost_nano_usd)
    if reading.mismatch is None and usage.details and exceeds(usage):
        reading.mismatch = "parts"
    return reading


def exceeds(usage: Usage) -> bool:
    """Whether the parts of a total are more than the total."""
    part, prompt, completion = usage.details.get, usage.input_tokens, usage.output_tokens
    return (prompt is not None and part("cache_read", 0) + part("cache_write", 0) > prompt) or (
        completion is not None and part("reasoning", 0) > completion
    )


def nano_usd(value: object, per_usd: int = 1) -> int | None:
    """A cost that a vendor states, in nano-dollars; None when it is no sensible sum.

    Args:
        value: A number or text.
        per_usd: How many of its unit make a dollar.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        usd = Decimal(str(value)) / per_usd
    except InvalidOperation:
        return None
    if not usd.is_finite() or not 0 <= usd <= _DEAREST_USD:
        return None
    return int((usd * 1_000_000_000).to_integral_value())


def billed_fields(fields: Mapping[str, Any], known: frozenset[str], prefix: str = "") -> tuple[str, ...]:
    """Names of fields that count something and are not known; nested ones as `details.name`."""
    if known.issuperset(fields):
        return ()
    found = []
    for name, value in fields.items():
        if name in known or not value or isinstance(value, (str, bool)):
            continue
        if (
            isinstance(value, (int, float))
            or any(
                type(part) in (int, float) and part > 0
                for part in (vars(value) if hasattr(value, "__dict__") else {}).values()
            )
            or (isinstance(value, Mapping) and any(type(part) in (int, float) and part > 0 for part in value.values()))
        ):
            found.append(prefix + name)
    return tuple(found)


def stated(report: object, *path: str) -> object:
    """The value at a path of a report."""
    for name in path:
        report = pick(report, name)
    return report


def put_all(readings: Sequence[Reading], call: LLMCall) -> None:
    """The sum of one or more requests into a record, with each one's usage beside it: prices are by request."""
    total = readings[0]
    for reading in readings[1:]:
        total = total + reading
    total.put(call)
    if len(readings) > 1:
        call.usages = tuple(reading.usage for reading in readings if reading.usage is not None)
