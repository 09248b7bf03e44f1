"""What a query names and what labels come out of it, checked against the families that are declared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as promql

from tachograph.catalogue.families import FAMILIES

TARGET_LABELS = frozenset({"job", "instance"})
FOREIGN: dict[str, frozenset[str]] = {
    "up": TARGET_LABELS,
    "scrape_duration_seconds": TARGET_LABELS,
    "scrape_samples_post_metric_relabeling": TARGET_LABELS,
    "prometheus_rule_evaluation_failures_total": TARGET_LABELS | {"rule_group"},
    "prometheus_rule_group_iterations_missed_total": TARGET_LABELS | {"rule_group"},
    "prometheus_rule_group_last_duration_seconds": TARGET_LABELS | {"rule_group"},
    "prometheus_config_last_reload_successful": TARGET_LABELS,
    "prometheus_notifications_alertmanagers_discovered": TARGET_LABELS,
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "component"})
    | {"provider", "model", "server_id", "tool_name"},
}
"""Series that Prometheus itself makes, with the labels that queries of ours may use."""

RECORDED = {
    "provider": frozenset({"provider"}),
    "server_id": frozenset({"server_id"}),
    "provider_model": frozenset({"provider", "model"}),
    "provider_model_outcome": frozenset({"provider", "model", "outcome"}),
    "provider_model_error_type": frozenset({"provider", "model", "error_type"}),
    "tool": frozenset({"server_id", "tool_name"}),
    "server_id_outcome": frozenset({"server_id", "outcome"}),
    "tool_outcome": frozenset({"server_id", "tool_name", "outcome"}),
    "fleet": frozenset(),
}


@dataclass(frozen=True)
class Selector:
    """One series selector: its metric, its matchers, and the window around it (None: an instant)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]
    window: float | None
    function: str
    offset: bool


def parse(expression: str) -> Any:
    """The syntax tree, with Grafana's windows filled in."""
    expression = expression.replace("$__rate_interval", "1m").replace("$__range", "1h")
    return promql.parse(expression)


def operator(node: Any) -> str:
    """`>`, `and`, `/` and so on."""
    return str(node.op)


def selectors(node: Any, function: str = "") -> Iterator[Selector]:
    """Every selector below a node."""
    if isinstance(node, promql.VectorSelector):
        yield _selector(node, None, function)
    elif isinstance(node, promql.MatrixSelector):
        yield _selector(node.vector_selector, node.range.total_seconds(), function)
    else:
        name = node.func.name if isinstance(node, promql.Call) else function
        for child in children(node):
            yield from selectors(child, name)


def _selector(node: Any, window: float | None, function: str) -> Selector:
    matchers = tuple((m.name, _sign(m.op), m.value) for m in node.matchers.matchers)
    return Selector(node.name or "", matchers, window, function, node.offset is not None)


def _sign(op: Any) -> str:
    return {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}[str(op).rsplit(".", 1)[-1]]


def children(node: Any) -> list[Any]:
    """The nodes below."""
    if isinstance(node, promql.BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, promql.Call):
        return list(node.args)
    if isinstance(node, promql.AggregateExpr):
        return [node.expr, *([node.param] if node.param is not None else [])]
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        return [node.expr]
    return []


def walk(node: Any) -> Iterator[Any]:
    """The node and everything below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def family_of(name: str) -> tuple[Any, frozenset[str]] | None:
    """The declared family of a series name, and its labels on /metrics."""
    if name in FAMILIES and FAMILIES[name].kind != "histogram":
        return FAMILIES[name], frozenset(FAMILIES[name].labels) | TARGET_LABELS
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if base != name and base in FAMILIES and FAMILIES[base].kind == "histogram":
            labels = frozenset(FAMILIES[base].labels) | TARGET_LABELS
            return FAMILIES[base], labels | {"le"} if suffix == "_bucket" else labels
    return None


def series_labels(name: str) -> frozenset[str] | None:
    """The labels of a series, or None for one that is not declared."""
    found = family_of(name)
    if found is not None:
        return found[1]
    if name in FOREIGN:
        return FOREIGN[name]
    level, _, rest = name.partition(":")
    return RECORDED[level] | {"job"} if rest and level in RECORDED else None


def wrong_names(expression: str) -> list[str]:
    """Everything that a query names and that is not declared: metrics, labels, label values, bucket bounds."""
    problems: list[str] = []
    for selector in selectors(parse(expression)):
        if not selector.name:
            if not any(name == "__name__" for name, _, _ in selector.matchers):
                problems.append(f"a selector without a metric: {selector.matchers}")
            continue
        labels = series_labels(selector.name)
        if labels is None:
            problems.append(f"no family {selector.name}")
            continue
        for name, sign, value in selector.matchers:
            if name not in labels:
                problems.append(f"{selector.name} has no label {name}")
            else:
                problems += _wrong_value(selector.name, name, sign, value)
    return problems


def _wrong_value(metric: str, label: str, sign: str, value: str) -> list[str]:
    if "$" in value:
        return []
    found = family_of(metric)
    if found is None:
        return []
    family = found[0]
    if label == "le":
        known = {spelled for bound in family.buckets for spelled in (f"{bound:g}", str(float(bound)))} | {"+Inf"}
    elif label in family.values:
        known = set(family.values[label])
    else:
        return []
    if sign in ("=", "!="):
        return [] if value in known else [f"{metric}: {label} is never {value!r}"]
    wanted = re.split(r"\|", value) if "(" not in value else [value]
    return [
        f"{metric}: {label} never matches {part!r}"
        for part in wanted
        if not any(re.fullmatch(part, candidate) for candidate in known)
    ]


def result_labels(node: Any) -> frozenset[str]:
    """The labels that a query's results carry."""
    if isinstance(node, promql.VectorSelector):
        return series_labels(node.name) or frozenset()
    if isinstance(node, promql.MatrixSelector):
        return result_labels(node.vector_selector)
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        return result_labels(node.expr)
    if isinstance(node, promql.AggregateExpr):
        return _aggregated(node)
    if isinstance(node, promql.Call):
        return _called(node)
    if isinstance(node, promql.BinaryExpr):
        return _joined(node)
    return frozenset()


def _aggregated(node: Any) -> frozenset[str]:
    inner = result_labels(node.expr)
    if str(node.op) in ("topk", "bottomk"):
        return inner
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    return inner - named if "without" in str(node.modifier.type).lower() else inner & named


def _called(node: Any) -> frozenset[str]:
    name = node.func.name
    if name == "histogram_quantile":
        return result_labels(node.args[1]) - {"le"}
    if name in ("absent", "absent_over_time"):
        return frozenset(label for one in selectors(node) for label, sign, _ in one.matchers if sign == "=")
    if name in ("vector", "time"):
        return frozenset()
    return result_labels(node.args[0]) if node.args else frozenset()


def is_scalar(node: Any) -> bool:
    """Whether a node is a number."""
    if isinstance(node, promql.NumberLiteral):
        return True
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr):
        return is_scalar(node.expr)
    if isinstance(node, promql.Call):
        return node.func.name == "time"
    return isinstance(node, promql.BinaryExpr) and is_scalar(node.lhs) and is_scalar(node.rhs)


def _joined(node: Any) -> frozenset[str]:
    left, right = result_labels(node.lhs), result_labels(node.rhs)
    sign = operator(node)
    if sign in ("and", "unless"):
        return left
    if sign == "or":
        return left & right
    if is_scalar(node.rhs):
        return left
    if is_scalar(node.lhs):
        return right
    matching = node.modifier.matching if node.modifier is not None else None
    if matching is not None and "ManyToOne" not in str(node.modifier.card):
        named = frozenset(matching.labels)
        return left & named if str(matching).startswith("on") else left - named
    return left
