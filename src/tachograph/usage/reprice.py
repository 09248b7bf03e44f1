"""History at corrected prices: what differs is appended as adjustments, and no row is ever changed.

Running it twice changes nothing: the second time every cost agrees already, and an adjustment's id is made of the row,
the prices and the new cost, so that two runs side by side count once as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from tachograph.records import NOWHERE, Cost, LLMCall, Usage
from tachograph.usage.reports.when import microseconds
from tachograph.usage.row import Row
from tachograph.usage.stores.base import Adjustment, Store
from tachograph.usage.stores.query import Query

_CHUNK = 1000
Pricer = Callable[[LLMCall], Cost | None]


@dataclass(slots=True)
class Change:
    """What changed for one model."""

    rows: int = 0
    newly_priced: int = 0
    delta_nano_usd: int = 0

    @property
    def delta_usd(self) -> Decimal:
        """US dollars, exact."""
        return Decimal(self.delta_nano_usd).scaleb(-9)


@dataclass(slots=True)
class Repriced:
    """What was looked at and what changed, by provider and model."""

    looked_at: int = 0
    still_unpriced: int = 0
    changes: dict[tuple[str, str], Change] = field(default_factory=dict)

    @property
    def total(self) -> Change:
        """All changes together."""
        sums = Change()
        for change in self.changes.values():
            sums.rows += change.rows
            sums.newly_priced += change.newly_priced
            sums.delta_nano_usd += change.delta_nano_usd
        return sums


def reprice(
    store: Store,
    pricer: Pricer,
    *,
    since: datetime,
    until: datetime,
    where: Mapping[str, Sequence[str]] | None = None,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Repriced:
    """Price the rows of this time again and append what differs.

    Args:
        store: Opened for writing unless `dry_run`.
        pricer: `tachograph.pricing.Pricer(price_file)`; prices are those of the call's own day.

    Returns:
        What changed (or would). A row that has a price and would lose it is left as it is, and so is one whose cost the
        vendor stated, and one whose requests were priced one by one where only their sum is stored.
    """
    found = Repriced()
    waiting: list[Adjustment] = []
    at_us = microseconds(datetime.now(UTC))
    conditions = {"kind": ("llm",), **{name: tuple(values) for name, values in (where or {}).items()}}
    for row in store.rows(Query(microseconds(since), microseconds(until), where=conditions)):
        if not row.counted or not row.is_reported or row.cost_quality == "stated":
            continue
        found.looked_at += 1
        if progress is not None and found.looked_at % 10_000 == 0:
            progress(found.looked_at)
        call = _as_call(row)
        cost = pricer(call)
        if cost is None or cost.nano_usd is None:
            found.still_unpriced += row.cost_nusd is None
            continue
        delta = cost.nano_usd - (row.cost_nusd or 0)
        prices_it = row.cost_nusd is None
        if not prices_it and (not delta or (call.request_count != 1 and cost.quality == "estimated")):
            continue
        change = found.changes.setdefault((row.provider, row.model), Change())
        change.rows += 1
        change.newly_priced += prices_it
        change.delta_nano_usd += delta
        reason = f"repriced with {cost.source}"
        waiting.append(Adjustment(_id(row, cost), row.id, row.ts_us, at_us, delta, prices_it, cost.source, reason))
        if len(waiting) >= _CHUNK:
            _append(store, waiting, dry_run)
    _append(store, waiting, dry_run)
    return found


def _append(store: Store, waiting: list[Adjustment], dry_run: bool) -> None:
    if waiting and not dry_run:
        store.adjust(waiting)
    waiting.clear()


def _id(row: Row, cost: Cost) -> bytes:
    before = "none" if row.cost_nusd is None else str(row.cost_nusd)
    text = f"{before}>{cost.nano_usd}@{cost.source}".encode()
    return hashlib.blake2b(row.id + text, digest_size=16).digest()


def _as_call(row: Row) -> LLMCall:
    """The finished call that a row came from, as far as prices need it and rows have it."""
    call = LLMCall(NOWHERE, row.provider, row.model, row.operation)
    call.started_unix_ns = row.ts_us * 1000
    call.response_model, call.service_tier = row.response_model, row.service_tier
    call.speed, call.traffic_type = row.speed, row.traffic_type
    call.region = row.region or (row.price_source or "").partition(" region=")[2] or None  # the second: by its host
    if row.api == "batches" or (row.api == "generate_content" and row.attempts > 1):
        call.request_count = 0  # several, maybe; each had its own price
    call.usage = Usage(
        row.input_tokens, row.output_tokens, dict(row.details or {}), dict(row.tool_uses or {}), row.audio_seconds
    )
    return call
