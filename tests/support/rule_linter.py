"""A linter for our alerting rules, in the spirit of pint: each check names a way in which rules lie."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql

from support.promql_names import (
    Selector,
    children,
    family_of,
    is_scalar,
    operator,
    parse,
    result_labels,
    selectors,
    walk,
    wrong_names,
)
from tachograph.catalogue.families import BUCKETS
from tachograph.catalogue.rules import Alert

SCRAPE_SECONDS = 15.0
GROWING = ("rate", "increase", "irate", "resets")
LEVELS = ("delta", "deriv", "idelta", "predict_linear", "max_over_time", "min_over_time", "avg_over_time")
COMPARISONS = (">", ">=", "<", "<=", "==", "!=")
TEMPLATE_LABEL = re.compile(r"\$labels\.(\w+)")


def lint(alert: Alert) -> list[str]:
    """Everything that is wrong with one rule."""
    tree = parse(alert.expression)
    return [
        *wrong_names(alert.expression),
        *_windows(tree),
        *_counters(tree),
        *_thresholds(tree),
        *_divisions(tree),
        *_condition(tree),
        *_templates(alert, tree),
        *_runbook(alert),
    ]


def _windows(tree: Any) -> Iterator[str]:
    for selector in selectors(tree):
        if selector.window is not None and selector.window < 4 * SCRAPE_SECONDS:
            yield f"{selector.name}[{selector.window:g}s] holds fewer than four scrapes"


def is_counter(name: str) -> bool:
    """Whether a series only grows."""
    found = family_of(name)
    if found is None:
        return name.endswith("_total")
    return found[0].kind != "gauge"


def _counters(tree: Any) -> Iterator[str]:
    new = set()
    for node in walk(tree):
        if isinstance(node, promql.BinaryExpr) and operator(node) == "unless":
            left, right = list(selectors(node.lhs)), list(selectors(node.rhs))
            if len(left) == len(right) == 1 and left[0].name == right[0].name and right[0].offset:
                new |= {id(node.lhs), id(node.rhs)}
    yield from _raw(tree, new)


def _raw(node: Any, new: set[int], function: str = "") -> Iterator[str]:
    if id(node) in new:
        return
    if isinstance(node, promql.VectorSelector | promql.MatrixSelector):
        for selector in selectors(node):
            yield from _used(selector, function)
        return
    inner = node.func.name if isinstance(node, promql.Call) else function
    for child in children(node):
        yield from _raw(child, new, inner)


def _used(selector: Selector, function: str) -> Iterator[str]:
    if ":" in selector.name:
        return
    if is_counter(selector.name) and function not in GROWING:
        yield f"{selector.name} is a counter and is used raw"
    if not is_counter(selector.name) and function in GROWING:
        yield f"{selector.name} is a gauge, and {function}() takes counters"
    if is_counter(selector.name) and function in LEVELS:
        yield f"{selector.name} is a counter, and {function}() takes gauges"


def number(node: Any) -> float | None:
    """The value of a literal, also in parentheses."""
    if isinstance(node, promql.NumberLiteral):
        return float(node.val)
    return number(node.expr) if isinstance(node, promql.ParenExpr) else None


def _thresholds(tree: Any) -> Iterator[str]:
    for node in walk(tree):
        if not isinstance(node, promql.BinaryExpr) or operator(node) not in COMPARISONS:
            continue
        threshold, compared = number(node.rhs), node.lhs
        if threshold is None or not isinstance(compared, promql.Call) or compared.func.name != "histogram_quantile":
            continue
        for selector in selectors(compared):
            bounds = BUCKETS[selector.name.removesuffix("_bucket")]
            if threshold not in bounds:
                yield f"{threshold:g} is no bucket bound of {selector.name}"
            elif threshold == bounds[-1]:
                yield f"{threshold:g} is the top bucket of {selector.name}: no quantile is above it"


def _divisions(tree: Any) -> Iterator[str]:
    for node in walk(tree):
        if isinstance(node, promql.BinaryExpr) and operator(node) == "/" and not is_scalar(node.rhs):
            inner = node.rhs
            while isinstance(inner, promql.ParenExpr):
                inner = inner.expr
            guarded = isinstance(inner, promql.BinaryExpr) and operator(inner) == ">" and number(inner.rhs) is not None
            if not guarded:
                yield f"divides by {node.rhs.prettify()}, which may be zero: guard it with > 0"


def _condition(tree: Any) -> Iterator[str]:
    """A rule must compare something; otherwise it fires whenever its series exist."""
    if isinstance(tree, promql.Call) and tree.func.name in ("absent", "vector"):
        return
    if not any(
        isinstance(node, promql.BinaryExpr) and operator(node) in COMPARISONS and not _is_bool(node)
        for node in walk(tree)
    ):
        yield "compares nothing: it fires whenever the series exist"


def _is_bool(node: Any) -> bool:
    return node.modifier is not None and bool(node.modifier.return_bool)


def _templates(alert: Alert, tree: Any) -> Iterator[str]:
    carried = result_labels(tree) | set(alert.labels)
    for name, text in alert.annotations.items():
        for label in TEMPLATE_LABEL.findall(text):
            if label not in carried:
                yield f"{name} shows $labels.{label}, which does not survive: {sorted(carried)}"
    if len(re.sub(r"\{\{.*?\}\}", "a value here", alert.summary)) > 120:
        yield "the summary is longer than a pager's line"


def _runbook(alert: Alert) -> Iterator[str]:
    if not alert.annotations.get("runbook_url", "").endswith(alert.name):
        yield "no runbook_url that ends with its name"
