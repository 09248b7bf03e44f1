"""Questions to a store, as data, and the SQL they become; the dialects differ in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tachograph.errors import TachographError

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
LEVELS: Final = {"hour": 3600, "day": 86400}
"""Rollup levels and their seconds, as they are in the column `level`; days are UTC."""

MEASURES: Final[tuple[str, ...]] = (
    "n",
    "attempts",
    "wait_us",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nusd",
    "estimated_nusd",
    "unpriced",
    "usage_missing",
    "latency_us",
)
"""What is summed. `estimated_nusd` is the part of the cost whose quality is `estimated`."""

_SUMS: Final = {
    "n": "count(*)",
    "estimated_nusd": "sum(CASE WHEN cost_quality = 'estimated' THEN coalesce(cost_nusd, 0) ELSE 0 END)",
}
SUMS_OF_ROWS: Final = ", ".join(f"{_SUMS.get(name, f'sum(coalesce({name}, 0))')} AS {name}" for name in MEASURES)
"""The measures of rows that have no corrections yet."""
ADD_TO_ROLLUP: Final = (
    "ON CONFLICT (level, start_us, kind, provider, model, operation, outcome, error_type, labels) DO UPDATE SET "
    + ", ".join(f"{name} = usage_rollup.{name} + excluded.{name}" for name in MEASURES)
)
"""How an INSERT INTO usage_rollup adds to what is there."""

KEYS: Final[tuple[str, ...]] = ("kind", "provider", "model", "operation", "outcome", "error_type")
"""The rollups' dimensions beside time and labels."""
RAW_KEYS: Final[tuple[str, ...]] = ("response_model", "api", "service_tier", "finish_reason", "price_source",
                                    "cost_quality", "execution_id", "run_id", "parent_run_id", "agent", "session_id",
                                    "user_id", "app_version", "api_key_hint", "speed", "region",
                                    "traffic_type")  # fmt: skip
"""Dimensions that only rows have."""


_PLAIN: Final = tuple(name for name in MEASURES if name not in ("n", "cost_nusd", "estimated_nusd", "unpriced"))


@dataclass(frozen=True, slots=True)
class Query:
    """What to sum up.

    Attributes:
        since_us, until_us: UTC, microseconds since the epoch, half open. From rollups they are widened to whole hours.
        by: Dimensions: `hour`, `day` (the start, in microseconds), `KEYS`, `RAW_KEYS`, `label:NAME`.
        where: Dimension to the values that count.
        raw: Ask the rows even where rollups could answer.
    """

    since_us: int = 0
    until_us: int = 253_402_300_800_000_000
    by: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    raw: bool = False


class QueryError(TachographError):
    """A query asks by something that the ledger does not have."""


@dataclass(frozen=True, slots=True)
class SQLDialect:
    """What differs between the stores' SQL.

    Attributes:
        placeholder: A parameter; `{}` is its number from 1.
        label: A label's value out of a JSON column: `{column}`, `{name}` (quoted as a string inside).
        usage, rollup, latency: What stands after FROM.
        text: A JSON column as text, empty where it is NULL.
        floor: A time's beginning of the hour or day: `{column}`, `{size}` in microseconds.
        odd_label: The same for names with a double quote or a backslash, where that needs another way.
        escapes_backslash: Whether a backslash in a string literal means something.
        packed: Rollups' sums are made in two steps, by columns first and only then by what is computed from them, and
            latency buckets come as texts of numbers, made so (`{}`). Empty: stores without rollups.
    """

    placeholder: str
    label: str
    usage: str = "usage"
    adjustment: str = "usage_adjustment"
    rollup: str = "usage_rollup"
    latency: str = "latency_rollup"
    text: str = "coalesce({column}, '')"
    floor: str = "({column} - {column} % {size})"
    odd_label: str = ""
    escapes_backslash: bool = False
    packed: str = ""


def usage_sql(query: Query, dialect: SQLDialect, rollup_labels: tuple[str, ...]) -> tuple[str, list[Any]]:
    """SQL and parameters for `Store.usage`."""
    if needs_rows(query, rollup_labels):
        return _raw_sql(query, dialect, rollup_labels)
    build = _Builder(dialect)
    group = [build.dimension(name, "start_us") for name in query.by]
    sums = ", ".join(f"sum({name}) AS {name}" for name in MEASURES)
    filters = build.filters(query)
    first = ", ".join(_first_keys(query, _ROLLUP_KEYS))
    parts = [
        f"SELECT {first}, {sums} FROM {dialect.rollup} WHERE {' AND '.join([span, *filters])} GROUP BY {first}"
        for span in build.spans(query)
    ]
    return build.select(group, sums, f"({' UNION ALL '.join(parts)}) AS parts", ["true"]), build.parameters


_ROLLUP_KEYS: Final = ("start_us", *KEYS, "labels")
_LATENCY_KEYS: Final = ("start_us", "kind", "provider", "model", "outcome")


def _first_keys(query: Query, keys: tuple[str, ...]) -> tuple[str, ...]:
    """What to group by first: the key's beginning as far as the query needs it; SQLite need not sort for that.

    Labels come last in the key; where they are asked for, sorting by their whole text is cheaper than by one of them.
    """
    needed = {"start_us" if name in LEVELS else "labels" if name.startswith("label:") else name for name in query.by}
    if "labels" in needed:
        return tuple(key for key in keys if key in needed)
    return keys[: max((keys.index(name) for name in needed), default=0) + 1]


def packed_latency_sql(query: Query, dialect: SQLDialect) -> tuple[str, list[Any], tuple[str, ...]]:
    """SQL, parameters and key columns for latency buckets and counts as two texts of numbers, from rollups."""
    build = _Builder(dialect)
    filters = build.filters(query)
    keys = _first_keys(query, _LATENCY_KEYS)
    first = ", ".join(keys)
    parts = [
        f"SELECT {first}, {dialect.packed.format('bucket')}, {dialect.packed.format('n')} FROM {dialect.latency}"
        f" WHERE {' AND '.join([span, *filters])} GROUP BY {first}"
        for span in build.spans(query)
    ]
    return " UNION ALL ".join(parts), build.parameters, keys


def usage_names(query: Query, rollup_labels: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that `usage_sql` selects, in order."""
    if not needs_rows(query, rollup_labels):
        return (*query.by, *MEASURES)
    return (*query.by, "n", *_PLAIN, "cost_nusd", "estimated_nusd", "unpriced")


def latency_sql(query: Query, dialect: SQLDialect) -> tuple[str, list[Any]]:
    """SQL and parameters for `Store.latency`, from rows."""
    build = _Builder(dialect)
    conditions = [build.time("ts_us", query.since_us, query.until_us), *build.filters(query)]
    group = [build.dimension(name, "ts_us") for name in query.by]
    columns, table = "latency_bucket AS bucket, count(*) AS n", dialect.usage
    return build.select(group, columns, table, conditions, ("latency_bucket",)), build.parameters


def latency_needs_rows(query: Query) -> bool:
    """Whether rollups cannot answer this for latencies: they know no labels, among others."""
    return query.raw or not {*query.by, *query.where} <= {"hour", "day", "kind", "provider", "model", "outcome"}


def needs_rows(query: Query, rollup_labels: tuple[str, ...]) -> bool:
    """Whether rollups cannot answer this."""
    if query.raw:
        return True
    for name in (*query.by, *query.where):
        if name in RAW_KEYS or (name.startswith("label:") and name[6:] not in rollup_labels):
            return True
    return False


def rows_where(query: Query, dialect: SQLDialect) -> tuple[str, list[Any]]:
    """The condition on rows, and its parameters."""
    build = _Builder(dialect, prefix="u.")
    conditions = [build.time("u.ts_us", query.since_us, query.until_us), *build.filters(query)]
    return " AND ".join(conditions), build.parameters


def _raw_sql(query: Query, dialect: SQLDialect, rollup_labels: tuple[str, ...]) -> tuple[str, list[Any]]:
    build = _Builder(dialect, prefix="u.", kept=rollup_labels)
    group = [build.dimension(name, "u.ts_us") for name in query.by]
    sums = ", ".join(
        [
            "count(*) AS n",
            *(f"coalesce(sum(u.{name}), 0) AS {name}" for name in _PLAIN),
            "coalesce(sum(coalesce(u.cost_nusd, 0) + coalesce(a.delta, 0)), 0) AS cost_nusd",
            "coalesce(sum(CASE WHEN u.cost_quality = 'estimated' THEN coalesce(u.cost_nusd, 0) + coalesce(a.delta, 0)"
            " ELSE 0 END), 0) AS estimated_nusd",
            "coalesce(sum(u.unpriced - coalesce(a.priced, 0)), 0) AS unpriced",
        ]
    )
    since = build.time("ts_us", query.since_us, query.until_us)
    table = (
        f"{dialect.usage} AS u LEFT JOIN (SELECT record_id, sum(cost_delta_nusd) AS delta, sum(prices_it) AS priced "
        f"FROM {dialect.adjustment} WHERE {since} GROUP BY record_id) AS a ON a.record_id = u.id"
    )
    conditions = [build.time("u.ts_us", query.since_us, query.until_us), *build.filters(query)]
    return build.select(group, sums, table, conditions), build.parameters


class _Builder:
    def __init__(self, dialect: SQLDialect, prefix: str = "", kept: tuple[str, ...] = ()) -> None:
        self.dialect = dialect
        self.prefix = prefix
        self.kept = kept  # labels that a row still has for rollups after its subject was erased
        self.parameters: list[Any] = []

    def add(self, value: object) -> str:
        self.parameters.append(value)
        return self.dialect.placeholder.format(len(self.parameters))

    def dimension(self, name: str, time: str) -> str:
        if name in LEVELS:
            return self.dialect.floor.format(column=time, size=LEVELS[name] * 1_000_000)
        if name in KEYS or name in RAW_KEYS:
            return f"coalesce({self.prefix}{name}, '')" if name not in ("kind", "provider") else self.prefix + name
        if name.startswith("label:") and name[6:]:
            text = self.label(name[6:], "labels")
            if name[6:] in self.kept:
                return f"coalesce(nullif({text}, ''), {self.label(name[6:], 'rollup_labels')}, '')"
            return f"coalesce({text}, '')"
        raise QueryError(
            f"the ledger has no dimension {name!r}",
            do=f"It has hour, day, {', '.join((*KEYS, *RAW_KEYS))}, and label:NAME for labels of your own.",
        )

    def label(self, name: str, column: str) -> str:
        odd = '"' in name or "\\" in name
        form = self.dialect.odd_label if odd and self.dialect.odd_label else self.dialect.label
        key = name.replace("'", "''")
        if self.dialect.escapes_backslash:
            key = key.replace("\\", "\\\\")
        return form.format(column=self.prefix + column, name=key)

    def time(self, column: str, since: int, until: int) -> str:
        return f"{column} >= {int(since)} AND {column} < {int(until)}"

    def spans(self, query: Query) -> list[str]:
        """Whole days from the day level, the hours at both ends from the hour level: exact, and few rows."""
        since = query.since_us - query.since_us % HOUR_US
        until = query.until_us + -query.until_us % HOUR_US
        first, last = since + -since % DAY_US, until - until % DAY_US
        hours = LEVELS["hour"]
        if "hour" in query.by or first >= last:
            return [f"level = {hours} AND {self.time('start_us', since, until)}"]
        parts = [f"level = {LEVELS['day']} AND {self.time('start_us', first, last)}"]
        if since < first:
            parts.append(f"level = {hours} AND {self.time('start_us', since, first)}")
        if last < until:
            parts.append(f"level = {hours} AND {self.time('start_us', last, until)}")
        return parts

    def filters(self, query: Query) -> list[str]:
        conditions = []
        for name, values in query.where.items():
            column = self.dimension(name, "ts_us")
            if name in RAW_KEYS and all(values):
                column = f"{self.prefix}{name}"  # plain, so that an index answers
            conditions.append(f"{column} IN ({', '.join(self.add(value) for value in values)})")
        return conditions

    def select(
        self,
        group: list[str],
        columns: str,
        table: str,
        conditions: list[str],
        also: tuple[str, ...] = (),
    ) -> str:
        dimensions = [f"{text} AS d{number}" for number, text in enumerate(group)]
        text = f"SELECT {', '.join([*dimensions, columns])} FROM {table} WHERE {' AND '.join(conditions)}"
        keys = [*group, *also]
        if keys:
            text += f" GROUP BY {', '.join(keys)} ORDER BY {', '.join(keys)}"
        return text


def extent_sql(level: str, before_us: int) -> str:
    """When the oldest and the newest of a level before this time are from; two look-ups in an index."""
    if level == "rows":
        where, column = f"usage WHERE ts_us < {before_us}", "ts_us"
    else:
        where, column = f"usage_rollup WHERE level = {LEVELS[level]} AND start_us < {before_us}", "start_us"
    return f"SELECT (SELECT min({column}) FROM {where}), (SELECT max({column}) FROM {where})"


def extent_of(found: Sequence[Sequence[Any]]) -> tuple[int, int] | None:
    """The two times that such a query gave."""
    if not found or found[0][0] is None:
        return None
    return int(found[0][0]), int(found[0][1])


def summed_records(rows: Sequence[Sequence[Any]], names: Sequence[str], keys: int) -> list[dict[str, Any]]:
    """What `Store.usage` and `Store.latency` give: the first `keys` columns as they are, the others as sums."""
    return [dict(zip(names, (*row[:keys], *(int(value or 0) for value in row[keys:])), strict=True)) for row in rows]
