"""Ours beside the bill, and why they may differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tachograph.usage.reconcile.bill import Billed, gathered
from tachograph.usage.reconcile.causes import Cause, Explainer, Pricer, midnight, near
from tachograph.usage.reconcile.google import plain
from tachograph.usage.reconcile.keys import by_key
from tachograph.usage.reports.when import from_microseconds, microseconds
from tachograph.usage.stores.base import Store
from tachograph.usage.stores.query import Query

_DATED = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2}|\d{2}-\d{2}|\d{3}|latest)$")


@dataclass(slots=True)
class LedgerDay:
    """What the ledger says of one model on one day."""

    calls: int = 0
    succeeded: int = 0
    cancelled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
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
    ours: LedgerDay | None
    billed: Billed | None
    causes: tuple[Cause, ...]

    @property
    def usd(self) -> Decimal:
        """Billed less ours, in US dollars (0 where the report has no money)."""
        if self.billed is not None and self.billed.usd is None:
            return Decimal(0)
        return ((self.billed and self.billed.usd) or Decimal(0)) - (self.ours.usd if self.ours else Decimal(0))


@dataclass(frozen=True, slots=True)
class Reconciled:
    """All of it: what agrees, and what does not.

    Attributes:
        causes: Money by the cause's name, of the days that agree too: they add up to billed less ours.
        models: Billed and ours in US dollars, by the model's undated name.
        keys: The same by API key (its last characters), where the vendor reports it.
    """

    agreeing: int
    ours_usd: Decimal
    billed_usd: Decimal
    differences: tuple[Difference, ...]
    causes: Mapping[str, Decimal]
    models: Mapping[str, tuple[Decimal, Decimal]]
    keys: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict)


def reconcile(
    store: Store,
    provider: str,
    bill: Iterable[Billed],
    *,
    since: datetime,
    until: datetime,
    tolerance: Decimal = Decimal("0.005"),
    now: datetime | None = None,
    pricer: Pricer | None = None,
    keys: Iterable[Billed] | None = None,
) -> Reconciled:
    """Compare the ledger with a provider's report, by day (UTC) and model that answered.

    Args:
        provider: The label under which the ledger has these calls.
        tolerance: Share by which two numbers may be apart and still agree.
        pricer: Our prices, by which causes get their money.
        keys: The report by API key (`keys`), if it was fetched.
    """
    now = now or datetime.now(UTC)
    ours = _ours(store, provider, since, until)
    theirs = {
        key: line
        for key, line in gathered(bill).items()
        if since.date() <= line.day and midnight(line.day) < until and line.model
    }
    pairs = _paired(ours, theirs)
    explainer = Explainer(provider, pricer, tolerance, now)
    found: list[Difference] = []
    agreed: list[Difference] = []
    for day, model, own, line in pairs:
        one = Difference(day, model, own, line, tuple(explainer.causes(day, own, line)))
        (agreed if _agree(own, line, tolerance) else found).append(one)
    found = _with_day_boundaries(found, tolerance)
    sums: dict[str, Decimal] = {}
    for cause in (cause for one in (*agreed, *found) for cause in one.causes):
        sums[cause.name] = sums.get(cause.name, Decimal(0)) + cause.usd
    return Reconciled(
        len(agreed),
        sum((own.usd for own in ours.values()), Decimal(0)),
        sum((line.usd or Decimal(0) for line in theirs.values()), Decimal(0)),
        tuple(sorted(found, key=lambda one: (one.day, one.model))),
        sums,
        _by_model(pairs),
        {} if keys is None else by_key(store, provider, keys, explainer, since, until),
    )


def _by_model(
    pairs: Iterable[tuple[date, str, LedgerDay | None, Billed | None]],
) -> dict[str, tuple[Decimal, Decimal]]:
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for _, model, own, line in pairs:
        billed, ours = found.get(undated(model), (Decimal(0), Decimal(0)))
        billed += (line.usd if line is not None else None) or 0
        found[undated(model)] = billed, ours + (own.usd if own is not None else 0)
    return found


def _ours(store: Store, provider: str, since: datetime, until: datetime) -> dict[tuple[date, str], LedgerDay]:
    query = Query(
        microseconds(since),
        microseconds(until),
        by=("day", "model", "response_model", "outcome"),
        where={"kind": ("llm",), "provider": (provider,)},
        raw=True,
    )
    found: dict[tuple[date, str], LedgerDay] = {}
    for row in store.usage(query):
        day = from_microseconds(int(row["day"])).date()
        own = found.setdefault((day, row["response_model"] or row["model"]), LedgerDay())
        own.calls += int(row["n"])
        own.succeeded += int(row["n"]) if row["outcome"] == "success" else 0
        own.cancelled += int(row["n"]) if row["outcome"] == "cancelled" else 0
        own.input_tokens += int(row["input_tokens"] or 0)
        own.output_tokens += int(row["output_tokens"] or 0)
        own.cache_read_tokens += int(row["cache_read_tokens"] or 0)
        own.cache_write_tokens += int(row["cache_write_tokens"] or 0)
        own.nano_usd += int(row["cost_nusd"] or 0)
        own.unpriced += int(row["unpriced"] or 0)
        own.usage_missing += int(row["usage_missing"] or 0)
    return {
        key: own
        for key, own in found.items()
        if own.succeeded or own.cancelled or own.nano_usd or own.input_tokens or own.output_tokens
    }


def _paired(
    ours: Mapping[tuple[date, str], LedgerDay], theirs: Mapping[tuple[date, str], Billed]
) -> list[tuple[date, str, LedgerDay | None, Billed | None]]:
    """The same day and model; a dated name goes with the undated one where only one of each is left."""
    left, right = dict(ours), dict(theirs)
    pairs: list[tuple[date, str, LedgerDay | None, Billed | None]] = []
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
    """A model's name without its date, and without what Google's bill leaves out."""
    return plain(_DATED.sub("", model.lower()))


def _agree(own: LedgerDay | None, line: Billed | None, tolerance: Decimal) -> bool:
    if own is None or line is None:
        return not (
            line.usd or line.input_tokens or line.output_tokens if line else own and (own.nano_usd or own.succeeded)
        )
    return all(
        theirs is None or near(ours, theirs, tolerance)
        for ours, theirs in (
            (own.input_tokens, line.input_tokens),
            (own.output_tokens, line.output_tokens),
            (own.usd, line.usd),
        )
    )


def _output_apart(one: Difference, tolerance: Decimal) -> int:
    """Tokens of the answers that are billed beyond ours; 0 where the two agree."""
    ours = one.ours.output_tokens if one.ours else 0
    theirs = (one.billed.output_tokens or 0) if one.billed else 0
    return 0 if near(ours, theirs, tolerance) else theirs - ours


def _with_day_boundaries(found: list[Difference], tolerance: Decimal) -> list[Difference]:
    """Two neighbouring days that differ apart and agree together differ by where the day ends."""
    by_key = {(one.day, undated(one.model)): one for one in found}
    shifted: set[int] = set()
    for one in found:
        after = by_key.get((one.day + timedelta(days=1), undated(one.model)))
        if after is None:
            continue
        if any(_output_apart(d, tolerance) == 0 for d in (one, after)):
            continue
        ours = sum(d.ours.output_tokens if d.ours else 0 for d in (one, after))
        theirs = sum((d.billed.output_tokens or 0) if d.billed else 0 for d in (one, after))
        if ours and near(ours, theirs, tolerance):
            shifted |= {id(one), id(after)}
    told = "two days that agree together: the report's day ends at another hour than UTC's"
    return [
        Difference(one.day, one.model, one.ours, one.billed, (Cause("day_boundary", one.usd, told),))
        if id(one) in shifted
        else one
        for one in found
    ]
