"""Ours beside the bill, and why they may differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tachograph.usage.reconcile.bill import Billed, gathered
from tachograph.usage.reports.when import from_microseconds, microseconds
from tachograph.usage.stores.base import Store
from tachograph.usage.stores.query import Query

_DATED = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2}|\d{2}-\d{2}|\d{3}|latest)$")
_COMPLETE_AFTER = timedelta(days=2)
"""Providers' reports of a day are complete after a day or so."""


@dataclass(slots=True)
class Ours:
    """What the ledger says of one model on one day."""

    calls: int = 0
    succeeded: int = 0
    cancelled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    nano_usd: int = 0
    unpriced: int = 0
    usage_missing: int = 0

    @property
    def usd(self) -> Decimal:
        """US dollars, exact."""
        return Decimal(self.nano_usd).scaleb(-9)


@dataclass(frozen=True, slots=True)
class Difference:
    """One day and model where ours and the bill are apart, and the likely cause."""

    day: date
    model: str
    ours: Ours | None
    billed: Billed | None
    causes: tuple[str, ...]

    @property
    def usd(self) -> Decimal:
        """Billed less ours, in US dollars (0 where the report has no money)."""
        if self.billed is not None and self.billed.usd is None:
            return Decimal(0)
        return ((self.billed and self.billed.usd) or Decimal(0)) - (self.ours.usd if self.ours else Decimal(0))


@dataclass(frozen=True, slots=True)
class Reconciled:
    """All of it: what agrees, and what does not."""

    agreeing: int
    ours_usd: Decimal
    billed_usd: Decimal
    differences: tuple[Difference, ...]


def reconcile(
    store: Store,
    provider: str,
    bill: Iterable[Billed],
    *,
    since: datetime,
    until: datetime,
    tolerance: Decimal = Decimal("0.005"),
    now: datetime | None = None,
) -> Reconciled:
    """Compare the ledger with a provider's report, by day (UTC) and model that answered.

    Args:
        provider: The label under which the ledger has these calls.
        tolerance: Share by which two numbers may be apart and still agree.
    """
    now = now or datetime.now(UTC)
    ours = _ours(store, provider, since, until)
    theirs = {
        key: line
        for key, line in gathered(bill).items()
        if since.date() <= line.day and _midnight(line.day) < until and line.model
    }
    pairs = _paired(ours, theirs)
    found = []
    agreeing = 0
    for day, model, own, line in pairs:
        if _agree(own, line, tolerance):
            agreeing += 1
        else:
            found.append(Difference(day, model, own, line, tuple(_causes(day, own, line, tolerance, now))))
    found = _with_day_boundaries(found, tolerance)
    return Reconciled(
        agreeing,
        sum((own.usd for own in ours.values()), Decimal(0)),
        sum((line.usd or Decimal(0) for line in theirs.values()), Decimal(0)),
        tuple(sorted(found, key=lambda one: (one.day, one.model))),
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _ours(store: Store, provider: str, since: datetime, until: datetime) -> dict[tuple[date, str], Ours]:
    query = Query(
        microseconds(since),
        microseconds(until),
        by=("day", "model", "response_model", "outcome"),
        where={"kind": ("llm",), "provider": (provider,)},
        raw=True,
    )
    found: dict[tuple[date, str], Ours] = {}
    for row in store.usage(query):
        day = from_microseconds(int(row["day"])).date()
        own = found.setdefault((day, row["response_model"] or row["model"]), Ours())
        own.calls += int(row["n"])
        own.succeeded += int(row["n"]) if row["outcome"] == "success" else 0
        own.cancelled += int(row["n"]) if row["outcome"] == "cancelled" else 0
        own.input_tokens += int(row["input_tokens"] or 0)
        own.output_tokens += int(row["output_tokens"] or 0)
        own.cache_read_tokens += int(row["cache_read_tokens"] or 0)
        own.nano_usd += int(row["cost_nusd"] or 0)
        own.unpriced += int(row["unpriced"] or 0)
        own.usage_missing += int(row["usage_missing"] or 0)
    return {key: own for key, own in found.items() if own.succeeded or own.input_tokens or own.cancelled}


def _paired(
    ours: Mapping[tuple[date, str], Ours], theirs: Mapping[tuple[date, str], Billed]
) -> list[tuple[date, str, Ours | None, Billed | None]]:
    """The same day and model; a dated name goes with the undated one where only one of each is left."""
    left, right = dict(ours), dict(theirs)
    pairs: list[tuple[date, str, Ours | None, Billed | None]] = []
    for key in sorted(left.keys() & right.keys()):
        pairs.append((*key, left.pop(key), right.pop(key)))
    for (day, model), line in sorted(right.items()):
        alike = [key for key in left if key[0] == day and undated(key[1]) == undated(model)]
        if len(alike) == 1:
            pairs.append((day, model, left.pop(alike[0]), line))
            del right[day, model]
    pairs += [(*key, own, None) for key, own in left.items()]
    pairs += [(*key, None, line) for key, line in right.items()]
    return pairs


def undated(model: str) -> str:
    """A model's name without its date."""
    return _DATED.sub("", model.lower())


def _near(left: Decimal | int, right: Decimal | int, tolerance: Decimal) -> bool:
    left, right = Decimal(left), Decimal(right)
    return abs(left - right) <= max(abs(left), abs(right)) * tolerance + Decimal("0.000001")


def _agree(own: Ours | None, line: Billed | None, tolerance: Decimal) -> bool:
    if own is None or line is None:
        return not (
            line.usd or line.input_tokens or line.output_tokens if line else own and (own.nano_usd or own.succeeded)
        )
    return all(
        theirs is None or _near(ours, theirs, tolerance)
        for ours, theirs in (
            (own.input_tokens, line.input_tokens),
            (own.output_tokens, line.output_tokens),
            (own.usd, line.usd),
        )
    )


def _causes(day: date, own: Ours | None, line: Billed | None, tolerance: Decimal, now: datetime) -> Iterable[str]:
    if own is None:
        yield "not in the ledger: calls that are not watched (another application or key), or the ledger was off"
        return
    if line is None:
        if now - _midnight(day) < _COMPLETE_AFTER:
            yield "not in the report yet: the provider completes a day after a day or so"
        else:
            yield "not in the report: another organisation's key, or a compatible server under this provider's label"
        return
    tokens_agree = True
    if line.input_tokens is not None and not _near(own.input_tokens, line.input_tokens, tolerance):
        tokens_agree = False
        apart = own.input_tokens - line.input_tokens
        if own.cache_read_tokens and _near(abs(apart), own.cache_read_tokens, tolerance):
            yield "cached tokens: one side counts them in the prompt and the other beside it"
    if line.output_tokens is not None and not _near(own.output_tokens, line.output_tokens, tolerance):
        tokens_agree = False
    if not tokens_agree:
        if own.usage_missing:
            yield f"{own.usage_missing} calls reported no usage, but are billed"
        if own.cancelled:
            yield f"{own.cancelled} calls were given up before their usage came; providers bill what was made by then"
        if line.requests is not None and line.requests > own.succeeded + own.cancelled:
            yield f"{line.requests - own.succeeded - own.cancelled} billed requests are not in the ledger: not watched"
        if line.requests is not None and line.requests < own.succeeded and now - _midnight(day) < _COMPLETE_AFTER:
            yield "the report of this day is not complete yet"
    if line.usd is not None and not _near(own.usd, line.usd, tolerance):
        if own.unpriced:
            yield f"{own.unpriced} calls have no price here: add it to the price file and run tachograph reprice"
        elif tokens_agree and own.nano_usd:
            ratio = line.usd / own.usd
            if _near(ratio, Decimal("0.5"), Decimal("0.02")):
                yield "half the price: a batch discount or a flexible service tier that the calls did not report"
            else:
                yield f"the same tokens at {ratio:.3f} of our price: a discount, a tier, or a price that has changed"


def _with_day_boundaries(found: list[Difference], tolerance: Decimal) -> list[Difference]:
    """Two neighbouring days that differ apart and agree together differ by where the day ends."""
    by_key = {(one.day, undated(one.model)): one for one in found}
    shifted: set[int] = set()
    for one in found:
        after = by_key.get((one.day + timedelta(days=1), undated(one.model)))
        if after is None:
            continue
        ours = sum(d.ours.output_tokens if d.ours else 0 for d in (one, after))
        theirs = sum((d.billed.output_tokens or 0) if d.billed else 0 for d in (one, after))
        if ours and _near(ours, theirs, tolerance):
            shifted |= {id(one), id(after)}
    told = "two days that agree together: the report's day ends at another hour than UTC's"
    return [
        Difference(one.day, one.model, one.ours, one.billed, (told,)) if id(one) in shifted else one for one in found
    ]
