"""A price made ready for multiplying: whole numbers, ordered parts, no searching and no rounding until the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from math import lcm

from tachograph.pricing.dimensions import FREE_TOOLS, OWN_PRICE_EXPECTED, TOKENS
from tachograph.records.cost import NANO_PER_USD
from tachograph.records.media import SILENT
from tachograph.records.usage import Usage


@dataclass(frozen=True, slots=True)
class Rate:
    """What one unit costs, in nano-dollars, exactly.

    Attributes:
        nano: Of one token, use, request or second.
        above: Other rates for the whole call when its prompt has more tokens than this, by that number, ascending.
    """

    nano: Fraction
    above: tuple[tuple[int, Fraction], ...] = ()

    @classmethod
    def of(cls, usd: Decimal, per: int, above: tuple[tuple[int, Decimal], ...] = ()) -> Rate:
        """From US dollars for `per` units."""
        return cls(
            Fraction(usd) * NANO_PER_USD / per,
            tuple((start, Fraction(price) * NANO_PER_USD / per) for start, price in above),
        )

    def times(self, factor: Fraction) -> Rate:
        """The rate with a discount or a surcharge."""
        return Rate(self.nano * factor, tuple((start, higher * factor) for start, higher in self.above))

    def at(self, input_tokens: int) -> Fraction:
        """The rate for a prompt of so many tokens."""
        rate = self.nano
        for start, higher in self.above:
            if input_tokens > start:
                rate = higher
        return rate


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, part by part.

    Attributes:
        tokens: By the words of `dimensions.TOKENS`.
        tools: By kind of server-side tool, and by item of media (`records.media`).
        request: Of each request, whatever it used.
        audio_second: Of audio billed by time.
        doubts: By tool, why its price may be another one.
    """

    tokens: Mapping[str, Rate] = field(default_factory=dict)
    tools: Mapping[str, Rate] = field(default_factory=dict)
    request: Rate | None = None
    audio_second: Rate | None = None
    doubts: Mapping[str, str] = field(default_factory=dict)

    def times(self, factor: Fraction, *, only_tokens: bool = False) -> Price:
        """The price with a discount, or with a surcharge that tokens alone have."""
        if factor == 1:
            return self
        tokens = {word: rate.times(factor) for word, rate in self.tokens.items()}
        if only_tokens:
            return replace(self, tokens=tokens)
        return Price(
            tokens,
            {kind: rate.times(factor) for kind, rate in self.tools.items()},
            None if self.request is None else self.request.times(factor),
            None if self.audio_second is None else self.audio_second.times(factor),
            self.doubts,
        )


INT64 = 2**63 - 1
_Flat = tuple[int, int, int, dict[str, tuple[int, bool, frozenset[str]]]]
"""The longest prompt it holds for; rates of prompt and completion; by part: what its tokens cost beyond that, whether
it lies in the completion, and which other parts beside it need more thought."""


class CompiledPrice:
    """Prices usages; built once per model, provider and tier."""

    __slots__ = (
        "_audio_second",
        "_denominator",
        "_doubts",
        "_flat",
        "_joins",
        "_lacking",
        "_parts",
        "_request",
        "_starts",
        "_tables",
        "_tools",
        "_totals",
    )

    def __init__(self, price: Price) -> None:
        # most specific first, so that what lies inside a part is known before the part
        words = sorted(price.tokens, key=lambda word: (-len(TOKENS[word]), word))
        self._parts = tuple(
            (word, tuple(i for i, inner in enumerate(words[:at]) if TOKENS[word] < TOKENS[inner]))
            for at, word in enumerate(words)
        )
        rates = [*price.tokens.values(), *price.tools.values()]
        rates += [rate for rate in (price.request, price.audio_second) if rate is not None]
        fractions = [f for rate in rates for f in (rate.nano, *(higher for _, higher in rate.above))]
        self._denominator = lcm(*(fraction.denominator for fraction in fractions)) if fractions else 1
        self._starts = tuple(sorted({start for rate in price.tokens.values() for start, _ in rate.above}, reverse=True))
        self._tables = {
            start: tuple(self._whole(price.tokens[word].at(start + 1)) for word in words)
            for start in (*self._starts, -1)
        }
        self._totals = tuple(word for word in ("input", "output") if word in price.tokens)
        self._tools = {kind: self._whole(rate.nano) for kind, rate in price.tools.items()}
        self._request = 0 if price.request is None else self._whole(price.request.nano)
        self._audio_second = None if price.audio_second is None else self._whole(price.audio_second.nano)
        self._doubts = price.doubts
        self._lacking = OWN_PRICE_EXPECTED - set(price.tokens)
        is_cached = "cache_read" in price.tokens
        self._joins = tuple(join for join in _JOINS if is_cached and f"{join}_input" in price.tokens)
        self._flat = self._flatten(words)

    def _flatten(self, words: list[str]) -> _Flat | None:
        """The price as one sum, for the usages that need no more thought: most of all."""
        if "input" not in words or "output" not in words:
            return None
        rates = dict(zip(words, self._tables[-1], strict=True))
        parts = {}
        for word in (w for w in TOKENS if w not in ("input", "output") and w not in self._lacking):
            total = "input" if TOKENS[word] > TOKENS["input"] else "output"
            inner: set[str] = set()
            if word in rates:
                if any(TOKENS[total] < TOKENS[other] < TOKENS[word] for other in rates):
                    continue  # it lies in a part with a price of its own
                inner = {other for other in rates if TOKENS[word] < TOKENS[other]}
                for join in self._joins:
                    if word in (f"{join}_input", "cache_read"):
                        inner |= {f"{join}_input", "cache_read"} - {word}
            parts[word] = (rates[word] - rates[total] if word in rates else 0, total == "output", frozenset(inner))
        return self._starts[-1] if self._starts else INT64, rates["input"], rates["output"], parts

    def _whole(self, nano: Fraction) -> int:
        whole = nano * self._denominator
        assert whole.denominator == 1
        return whole.numerator

    def nano_usd(self, usage: Usage, requests: int = 1) -> tuple[int | None, tuple[str, ...]]:
        """The cost in whole nano-dollars, rounded half-even once, and what is not known about it.

        Args:
            usage: Of one request; of several, where only their sum is known.
            requests: How many it sums; 0: several, and how many is unknown. The prompt of an average one decides then.

        Returns:
            None for the cost where nothing of what was used has a price.
        """
        flat = self._flat
        if flat is None or usage.tool_uses or usage.audio_seconds is not None or requests != 1:
            return self._with_thought(usage, requests)
        most, input_rate, output_rate, parts = flat
        input_left, output_left = usage.input_tokens or 0, usage.output_tokens or 0
        if input_left > most:
            return self._with_thought(usage)
        total = self._request + input_left * input_rate + output_left * output_rate
        for word, tokens in usage.details.items():
            part = parts.get(word)
            if part is None:
                return self._with_thought(usage)
            more, is_output, inner = part
            if inner and not inner.isdisjoint(usage.details):
                return self._with_thought(usage)
            if is_output:
                output_left -= tokens
            else:
                input_left -= tokens
            if more:
                total += tokens * more
        if input_left < 0 or output_left < 0:  # a report that contradicts itself
            return self._with_thought(usage)
        return (total if self._denominator == 1 else _round(total, self._denominator)), ()

    def _with_thought(self, usage: Usage, requests: int = 1) -> tuple[int | None, tuple[str, ...]]:
        doubts: list[str] = []
        total, denominator = self._request * max(requests, 1), self._denominator
        total += self._tokens(usage, requests, doubts)
        is_priced = self._request != 0 or self._has_price(usage, doubts)
        for kind, uses in usage.tool_uses.items():
            name = kind if kind in self._tools else self._item(kind, doubts)
            if name is not None:
                total += uses * self._tools[name]
                is_priced = True
                if name in self._doubts:
                    doubts.append(self._doubts[name])
            elif kind not in FREE_TOOLS:
                doubts.append(f"no price for {kind}")
        if usage.audio_seconds:
            if self._audio_second is None:
                doubts.append("no price for audio_seconds")
            else:
                total = total * _MICRO + round(usage.audio_seconds * _MICRO) * self._audio_second
                denominator *= _MICRO
                is_priced = True
        if not is_priced and (usage.input_tokens or usage.output_tokens or usage.audio_seconds or usage.tool_uses):
            return None, tuple(doubts)
        return _round(total, denominator), tuple(doubts)

    def _item(self, item: str, doubts: list[str]) -> str | None:
        """The price of an item of media: the one that names most of what the item is, and nothing else."""
        kind, _, words = item.partition("/")
        said = {kind, *words.split("/")}
        fitting = [name for name in self._tools if words and said.issuperset(name.split("/"))]
        if not fitting:
            return None
        found = max(sorted(fitting), key=lambda name: name.count("/"))
        if SILENT in said and SILENT not in found:
            doubts.append("no price for a video without sound: that of one with sound")
        return found

    def _tokens(self, usage: Usage, requests: int, doubts: list[str]) -> int:
        """The tokens' cost: each part at its rate, without the parts inside it that have rates of their own."""
        details = usage.details
        counts = {**details, "input": usage.input_tokens or 0, "output": usage.output_tokens or 0}
        total = 0
        leaves: list[int] = []
        is_contradiction = False
        table = self._table(counts["input"], requests, doubts)
        for (word, inside), rate in zip(self._parts, table, strict=True):
            tokens = counts.get(word, 0)
            if details:
                tokens -= sum(leaves[at] for at in inside)
                if tokens < 0:
                    tokens, is_contradiction = 0, True
            leaves.append(tokens)
            total += tokens * rate
        if is_contradiction:
            doubts.append("the report contradicts itself")
        if details:
            self._doubt_parts(details, doubts)
        return total

    def _has_price(self, usage: Usage, doubts: list[str]) -> bool:
        """Whether tokens that were used have a price; notes those that have none."""
        used = [word for word, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)) if tokens]
        doubts.extend(f"no price for {word}" for word in used if word not in self._totals)
        return any(word in self._totals for word in used)

    def _table(self, input_tokens: int, requests: int, doubts: list[str]) -> tuple[int, ...]:
        """The rates of a prompt of this length; of a sum, those of its average request."""
        if requests != 1 and self._starts and input_tokens > self._starts[-1]:
            how_many = f"{requests:,} requests" if requests else "several requests"
            doubts.append(f"the price of a long prompt goes by the request, and only the sum of {how_many} is known")
            input_tokens = input_tokens // requests if requests else 0
        for start in self._starts:
            if input_tokens > start:
                return self._tables[start]
        return self._tables[-1]

    def _doubt_parts(self, details: Mapping[str, int], doubts: list[str]) -> None:
        doubts.extend(f"no price for {word}" for word in details if word in self._lacking)
        for join in self._joins:
            if details.get(f"{join}_input") and "cache_read" in details and f"{join}_cache_read" not in details:
                doubts.append(f"how much of the {join} was cached is not reported")


_JOINS = ("audio", "image")
"""Modalities whose cached tokens have prices of their own."""
_MICRO = 1_000_000
"""Seconds of audio are counted in millionths, so that they are whole numbers, too."""


def _round(numerator: int, denominator: int) -> int:
    whole, part = divmod(numerator, denominator)
    twice = part * 2
    if twice > denominator or (twice == denominator and whole & 1):
        whole += 1
    return whole
