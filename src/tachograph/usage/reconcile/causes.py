"""Why the bill and the ledger differ, each cause by name and with its money."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tachograph.records.llm_call import LLMCall
from tachograph.records.sink import NOWHERE
from tachograph.records.usage import Usage
from tachograph.usage.reconcile.bill import Billed

if TYPE_CHECKING:
    from tachograph.records.cost import Cost
    from tachograph.usage.reconcile.compare import LedgerDay

NAMES: Final = (
    "unseen_client",
    "late_rows",
    "unpriced",
    "tier",
    "region",
    "credit",
    "rounding",
    "usage_missing",
    "cancelled",
    "cached_tokens",
    "day_boundary",
    "other_account",
    "price",
    "unexplained",
)
COMPLETE_AFTER: Final = timedelta(days=2)
"""Providers' reports of a day are complete after a day or so."""
_REGION_FACTORS: Final = {"us": Decimal("1.1"), "eu": Decimal("1.1")}
"""Anthropic's `inference_geo: us` and OpenAI's regional processing cost 10 % more. Source, checked 2026-11-27:
https://platform.claude.com/docs/en/about-claude/pricing, https://platform.openai.com/docs/pricing."""
_ORDINARY_TIERS: Final = frozenset({"", "standard", "default", "auto", "on_demand"})
_SMALLEST: Final = Decimal("0.000001")

Pricer = Callable[[LLMCall], "Cost | None"]


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause.

    Attributes:
        name: Of `NAMES`.
        usd: How much more the vendor bills because of it; below zero: less.
        text: For people.
    """

    name: str
    usd: Decimal
    text: str


def midnight(day: date) -> datetime:
    """When a day begins, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def near(left: Decimal | int, right: Decimal | int, tolerance: Decimal) -> bool:
    """Whether two numbers are within this share of each other."""
    left, right = Decimal(left), Decimal(right)
    return abs(left - right) <= max(abs(left), abs(right)) * tolerance + _SMALLEST


class Explainer:
    """Finds the causes of one day and model.

    Args:
        provider: The label under which the ledger has these calls.
        pricer: The prices that the ledger's costs came from; None: causes are given without their money.
        tolerance: Share by which tokens may be apart and still agree.
        now: Rows of late days may still come.
    """

    def __init__(self, provider: str, pricer: Pricer | None, tolerance: Decimal, now: datetime) -> None:
        self._provider = provider
        self._pricer = pricer
        self._tolerance = tolerance
        self._now = now

    def causes(self, day: date, own: LedgerDay | None, line: Billed | None) -> list[Cause]:
        """All causes; their money adds up to billed less ours."""
        is_late = self._now - midnight(day) < COMPLETE_AFTER
        left = ((line.usd if line is not None else None) or Decimal(0)) - (own.usd if own is not None else Decimal(0))
        if line is not None and line.usd is None:
            left = Decimal(0)  # this report has no money
        found: list[Cause] = []

        def add(name: str, usd: Decimal, text: str) -> None:
            nonlocal left
            found.append(Cause(name, usd, text))
            left -= usd

        if line is not None and line.credit_usd:
            add("credit", line.credit_usd, "credits or refunds of the provider")
        if own is None or line is None:
            self._one_sided(add, own, left, is_late)
            return found
        tokens_agree = self._tokens(add, own, line, left, is_late)
        if own.unpriced and abs(left) > line.digits_usd:
            add("unpriced", left, f"{own.unpriced} calls have no price here: add it to the price file and run "
                "tachograph reprice")  # fmt: skip
        if tokens_agree and line.usd is not None:
            self._price(add, own, line, lambda: left)
        if line.usd is None or not left:
            return found
        if abs(left) <= max(line.digits_usd, _SMALLEST):
            add("rounding", left, "the report's own digits")
        elif not near(own.usd + sum((c.usd for c in found), Decimal(0)), line.usd, self._tolerance):
            if tokens_agree and own.nano_usd:
                ratio = (line.usd - line.credit_usd) / own.usd
                add("price", left, f"the same tokens at {ratio:.3f} of our price: a discount, a tier, or a price that "
                    "has changed")  # fmt: skip
            else:
                add("unexplained", left, "no likely cause found")
        elif left:
            add("unexplained", left, "within the tolerance")
        return found

    def _one_sided(self, add: Callable[[str, Decimal, str], None], own: LedgerDay | None, left: Decimal,
                   is_late: bool) -> None:  # fmt: skip
        if own is None:
            if left:
                text = (
                    "not in the ledger: calls that are not watched (another application or key), or the ledger was off"
                )
                add("unseen_client", left, text)
        elif is_late:
            add("late_rows", left, "not in the report yet: the provider completes a day after a day or so")
        else:
            add("other_account", left, "not in the report: another organisation's key, or a compatible server under "
                "this provider's label")  # fmt: skip

    def _tokens(self, add: Callable[[str, Decimal, str], None], own: LedgerDay, line: Billed, left: Decimal,
                is_late: bool) -> bool:  # fmt: skip
        """Causes by which the counts of tokens differ; whether they agree."""
        pairs = [(own.input_tokens, line.input_tokens), (own.output_tokens, line.output_tokens)]
        if all(theirs is None or near(ours, theirs, self._tolerance) for ours, theirs in pairs):
            return True
        more = _less(line, own)
        apart = abs(more.input_tokens or 0)
        if own.cache_read_tokens and near(apart, own.cache_read_tokens, self._tolerance) and not more.output_tokens:
            add(
                "cached_tokens", Decimal(0), "cached tokens: one side counts them in the prompt and the other beside it"
            )
            return True
        worth = self.worth(line.model, line.day, more)
        if worth is None:  # no price: in proportion to what was billed
            differs, whole = more.output_tokens, line.output_tokens
            if not differs:
                differs, whole = more.input_tokens, line.input_tokens
            share = Decimal(differs or 0) / max(1, whole or 1)
            worth = left if own.unpriced else (line.usd or Decimal(0)) * share
        is_more = (more.output_tokens or more.input_tokens or 0) > 0
        known = own.succeeded + own.cancelled
        if not is_more:
            if is_late:
                add("late_rows", worth, "the report of this day is not complete yet")
            else:
                add(
                    "other_account",
                    worth,
                    "fewer tokens are billed: another organisation's key, or a compatible server",
                )
        elif line.requests is not None and line.requests > known:
            add("unseen_client", worth, f"{line.requests - known} billed requests are not in the ledger: not watched")
        elif own.usage_missing:
            add("usage_missing", worth, f"{own.usage_missing} calls reported no usage, but are billed")
        elif own.cancelled:
            text = f"{own.cancelled} calls were given up before their usage came; providers bill what was made by then"
            add("cancelled", worth, text)
        else:
            add("unseen_client", worth, "more tokens are billed than the ledger has: calls that are not watched")
        return False

    def _price(self, add: Callable[[str, Decimal, str], None], own: LedgerDay, line: Billed,
               left: Callable[[], Decimal]) -> None:  # fmt: skip
        """Causes by which the same tokens cost something else."""
        tiers = {part.tier for part in line.parts if part.tier.lower() not in _ORDINARY_TIERS}
        if tiers and abs(left()) > line.digits_usd:
            at_tier = self._sum(line, with_tier=True)
            if at_tier is not None:
                more = at_tier - (self._sum(line, with_tier=False) or Decimal(0))
                if abs(left() - more) < abs(left()):
                    add("tier", more, f"the service tier {', '.join(sorted(tiers))}, which the calls did not report")
        regions = {part.region for part in line.parts if part.region.lower() in _REGION_FACTORS}
        if regions and abs(left()) > line.digits_usd:
            more = Decimal(0)
            for part in line.parts:
                factor = _REGION_FACTORS.get(part.region.lower())
                base = self.worth(line.model, line.day, used(part), part.tier)
                if factor is not None and base is not None:
                    more += base * (factor - 1)
            if abs(left() - more) < abs(left()):
                add("region", more, f"requests processed in {', '.join(sorted(regions))} cost more")
        if abs(left()) > line.digits_usd and own.nano_usd and line.usd is not None:
            ratio = (line.usd - line.credit_usd) / own.usd
            if near(ratio, Decimal("0.5"), Decimal("0.02")):
                add("tier", left(), "half the price: a batch discount or a flexible service tier that the calls did "
                    "not report")  # fmt: skip

    def _sum(self, line: Billed, *, with_tier: bool) -> Decimal | None:
        total = Decimal(0)
        for part in line.parts:
            worth = self.worth(line.model, line.day, used(part), part.tier if with_tier else "")
            if worth is None:
                return None
            total += worth
        return total

    def worth(self, model: str, day: date, usage: Usage, tier: str = "") -> Decimal | None:
        """What this usage costs by our prices; what is below zero of it takes its cost away."""
        total = Decimal(0)
        for sign in (1, -1):
            side = _side(usage, sign)
            if side.input_tokens or side.output_tokens:
                usd = self._cost(model, day, side, tier)
                if usd is None:
                    return None
                total += usd * sign
        return total

    def _cost(self, model: str, day: date, usage: Usage, tier: str) -> Decimal | None:
        if self._pricer is None:
            return None
        call = LLMCall(NOWHERE, self._provider, model)
        call.started_unix_ns = int(midnight(day).timestamp() * 1e9)
        call.usage, call.service_tier = usage, tier or None
        cost = self._pricer(call)
        return None if cost is None or cost.usd is None else cost.usd


def _side(usage: Usage, sign: int) -> Usage:
    """What is above zero of a usage, or with -1 how far it is below, each kind of token by itself."""
    details = {word: tokens * sign for word, tokens in usage.details.items() if tokens * sign > 0}
    cached = ("cache_read", "cache_write")
    rest = (usage.input_tokens or 0) - sum(usage.details.get(word, 0) for word in cached)
    prompt = max(0, rest * sign) + sum(details.get(word, 0) for word in cached)
    return Usage(prompt, max(0, (usage.output_tokens or 0) * sign), details)


def used(line: Billed) -> Usage:
    """The tokens that a line bills."""
    details = {
        "cache_read": line.cache_read_tokens or 0,
        "cache_write": line.cache_write_5m_tokens + line.cache_write_1h_tokens,
        "cache_write_5m": line.cache_write_5m_tokens,
        "cache_write_1h": line.cache_write_1h_tokens,
    }
    return Usage(line.input_tokens or 0, line.output_tokens or 0, {word: n for word, n in details.items() if n})


def _less(line: Billed, own: LedgerDay) -> Usage:
    """What is billed beyond ours."""
    billed = used(line)
    details = {
        "cache_read": billed.details.get("cache_read", 0) - own.cache_read_tokens,
        "cache_write": billed.details.get("cache_write", 0) - own.cache_write_tokens,
    }
    return Usage(
        (billed.input_tokens or 0) - own.input_tokens if line.input_tokens is not None else 0,
        (billed.output_tokens or 0) - own.output_tokens if line.output_tokens is not None else 0,
        {word: n for word, n in details.items() if n},
    )
