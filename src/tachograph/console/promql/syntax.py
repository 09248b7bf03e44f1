"""From query text to a small tree of our own, by way of the `promql-parser` package.

The package declares Prometheus 2.45; what it cannot read (negative `@`, digits grouped with `_`) is rewritten
before it sees the text, and newer syntax is named in the error instead of being called a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

import promql_parser

from tachograph.console.promql.errors import PromQLError, PromQLSyntaxError, PromQLUnsupported
from tachograph.console.promql.labels import NAME
from tachograph.console.promql.matchers import EQUAL, MATCH, NOT_EQUAL, NOT_MATCH, LabelMatcher

MAX_QUERY_LENGTH = 64 * 1024
REMEMBERED_LENGTH = 4096
"""A rule or a panel asks the same every few seconds; of longer queries no tree is kept."""
MAX_DEPTH = 150
"""Brackets, signs and chained operators on one way down the tree. The parser's native code ends the process with
SIGSEGV when its tree is too deep for the stack: from 250 levels on with a stack of 512 kB, as threads have on macOS."""

# A timestamp before 1970 makes the parser's Python binding abort, so it travels as a far future one.
_NEGATIVE_AT = 200_000_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Number:
    """A number literal, durations included (in seconds)."""

    value: float


@dataclass(frozen=True, slots=True)
class String:
    """A string literal."""

    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """A vector selector. `at` is None, a time in milliseconds, "start" or "end"."""

    matchers: tuple[LabelMatcher, ...]
    offset: int
    at: int | str | None


@dataclass(frozen=True, slots=True)
class Range:
    """A range selector; lengths in milliseconds."""

    selector: Selector
    length: int


@dataclass(frozen=True, slots=True)
class Subquery:
    """An expression evaluated over a range; a step of None means the default one."""

    expr: Node
    length: int
    step: int | None
    offset: int
    at: int | str | None


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function call."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation; `labels` belong to `by`, or to `without` when that is set."""

    op: str
    expr: Node
    param: Node | None
    labels: tuple[str, ...]
    without: bool


@dataclass(frozen=True, slots=True)
class Unary:
    """A negation."""

    expr: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator with its matching: card is one-to-one, many-to-one, one-to-many or many-to-many."""

    op: str
    left: Node
    right: Node
    card: str
    on: bool
    matching: tuple[str, ...]
    include: tuple[str, ...]
    return_bool: bool
    fill_left: float | None
    fill_right: float | None


Node: TypeAlias = Number | String | Selector | Range | Subquery | FunctionCall | Aggregate | Unary | Binary

_CARDS = {
    "OneToOne": "one-to-one",
    "ManyToOne": "many-to-one",
    "OneToMany": "one-to-many",
    "ManyToMany": "many-to-many",
}
_OPS = {"Equal": EQUAL, "NotEqual": NOT_EQUAL, "Re": MATCH, "NotRe": NOT_MATCH}

_SCALAR_CALLS = frozenset({"scalar", "time", "pi", "start", "end", "step", "range", "min_of", "max_of"})


def parse(query: str) -> Node:
    """Parse one query.

    Raises:
        PromQLSyntaxError: It is not PromQL, or too long or too deep.
        PromQLUnsupported: It uses syntax of a later Prometheus that this evaluator does not have.
    """
    return _remembered(query) if len(query) <= REMEMBERED_LENGTH else _parse(query)


@lru_cache(maxsize=512)
def _remembered(query: str) -> Node:
    return _parse(query)


def _parse(query: str) -> Node:
    if len(query) > MAX_QUERY_LENGTH:
        raise PromQLSyntaxError(f'invalid parameter "query": longer than {MAX_QUERY_LENGTH} characters')
    if not query.strip():
        raise PromQLSyntaxError(
            'invalid parameter "query": unknown position: parse error: no expression found in input'
        )
    prepared, bare = _prepare(query)
    if re.search(r"@\s*-\s*\d", bare):
        raise PromQLUnsupported("unsupported PromQL: a negative duration after @")
    with _panics_refused():
        return _read(prepared, bare)


def prettify(query: str) -> str:
    """Lay a query out on lines.

    Raises:
        PromQLSyntaxError, PromQLUnsupported: As `parse`.
    """
    parse(query)
    with _panics_refused():
        text: str = promql_parser.parse(query).prettify()
    return text


@contextmanager
def _panics_refused() -> Iterator[None]:
    """Turn what the parser's native code throws at numbers out of its range into a syntax error."""
    try:
        yield
    except (PromQLError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if not isinstance(error, ValueError | ArithmeticError) and type(error).__name__ != "PanicException":
            raise
        raise PromQLSyntaxError(
            'invalid parameter "query": 1:1: parse error: a number, time or duration is out of range'
        ) from None


def _read(prepared: str, bare: str) -> Node:
    try:
        tree = promql_parser.parse(prepared)
    except ValueError as error:
        newer = _newer_syntax(bare)
        if newer:
            raise PromQLUnsupported(f"unsupported PromQL: {newer}") from None
        raise PromQLSyntaxError(f'invalid parameter "query": 1:1: parse error: {_first_line(error)}') from None
    return _convert(tree)


def value_type(node: Node) -> str:
    """Return what a node evaluates to: scalar, vector, matrix or string."""
    if isinstance(node, Number):
        return "scalar"
    if isinstance(node, String):
        return "string"
    if isinstance(node, Range | Subquery):
        return "matrix"
    if isinstance(node, FunctionCall):
        return "scalar" if node.name in _SCALAR_CALLS else "vector"
    if isinstance(node, Unary):
        return value_type(node.expr)
    if isinstance(node, Binary):
        both = value_type(node.left) == "scalar" and value_type(node.right) == "scalar"
        return "scalar" if both else "vector"
    return "vector"


def selectors(node: Node) -> list[Selector]:
    """Return every selector in a tree."""
    if isinstance(node, Selector):
        return [node]
    if isinstance(node, Range):
        return [node.selector]
    children: list[Node] = []
    if isinstance(node, Subquery | Unary):
        children = [node.expr]
    elif isinstance(node, FunctionCall):
        children = list(node.args)
    elif isinstance(node, Aggregate):
        children = [node.expr, *([node.param] if node.param else [])]
    elif isinstance(node, Binary):
        children = [node.left, node.right]
    return [one for child in children for one in selectors(child)]


def parse_selector(text: str) -> tuple[LabelMatcher, ...]:
    """Parse a series selector as `match[]` takes it.

    Raises:
        PromQLSyntaxError: It is something else.
    """
    try:
        node = parse(text)
    except PromQLSyntaxError as error:
        raise PromQLSyntaxError(str(error).replace('parameter "query"', 'parameter "match[]"')) from None
    if not isinstance(node, Selector) or node.offset or node.at is not None:
        raise PromQLSyntaxError(f'invalid parameter "match[]": 1:1: parse error: not a series selector: {text}')
    return node.matchers


_OPERATORS = frozenset({*"+-*/%^=!<>~@", "and", "or", "unless", "atan2"})
_PRECEDENCES = 6


class _Level:
    """How deep the tree of one bracket's content is at most, counted while its text goes by.

    `1+1+1` is a tree of depth 2 that grows to the left: each operator puts all before it one level deeper.
    """

    def __init__(self) -> None:
        self.depth = self.deepest = self._operators = self._row = self._powers = 0

    @property
    def outside(self) -> int:
        """How far down a bracket that is open in here begins."""
        return 1 + min(self._operators, _PRECEDENCES) + self._row + self._powers

    def operand(self, depth: int) -> None:
        """A bracket was closed; its content is so deep."""
        self.depth = max(self.depth, depth + self.outside)
        self.deepest = max(self.deepest, self.depth)

    def token(self, text: str) -> None:
        """Any other piece of text."""
        if text == ",":
            self.depth = self._operators = self._row = self._powers = 0
        elif text.lower() in _OPERATORS:
            self.depth += 1
            self._operators += 1
            self._row += 1
            self._powers += text == "^"
            self.deepest = max(self.deepest, self.depth)
        elif not text.isspace():
            self._row = 0


_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
      | (?P<at>@\s*-\s*(?P<atnum>\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?)(?![\w]))
      | (?P<word>[A-Za-z_:][\w:.]*)
      | (?P<number>\d[\w]*(?:\.\d[\w]*)?)
      | (?P<open>[([{])
      | (?P<close>[)\]}])
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


def _prepare(query: str) -> tuple[str, str]:
    """Return the text for the parser, and the text without strings and comments for looking at."""
    out: list[str] = []
    bare: list[str] = []
    levels = [_Level()]  # one for each bracket that is open
    for token in _TOKEN.finditer(query):
        text = token.group()
        kind = token.lastgroup
        if kind == "comment":
            out.append(" ")
            bare.append(" ")
            continue
        if kind == "string":
            out.append(_plain_string(text) if text[0] != "`" else text)
            bare.append('""')
            continue
        if kind == "word" and text == "holt_winters" and query[token.end() :].lstrip().startswith("("):
            # Prometheus 3 renamed it.
            text = "double_exponential_smoothing"
        elif token.group("at"):
            seconds = float(token.group("atnum").replace("_", ""))
            text = f"@ {_NEGATIVE_AT + seconds!r}"
        elif kind == "number":
            text = text.replace("_", "")
        elif kind == "open":
            levels.append(_Level())
        elif kind == "close" and len(levels) > 1:
            inner = levels.pop()
            levels[-1].operand(inner.deepest + 1)
        levels[-1].token(text)
        if sum(level.outside for level in levels[:-1]) + levels[-1].deepest > MAX_DEPTH:
            raise PromQLSyntaxError(f'invalid parameter "query": nested or chained deeper than {MAX_DEPTH}')
        out.append(text)
        bare.append(text)
    return "".join(out), "".join(bare)


_HIGH_BYTES = re.compile(r"\\\\|((?:\\(?:x[89a-fA-F][0-9a-fA-F]|[23][0-7]{2}))+)")


def _plain_string(text: str) -> str:
    """Decode a string's escapes from 0x80 on, which Go reads as bytes of UTF-8 and the parser as code points.

    Raises:
        PromQLError: The bytes are not UTF-8.
    """

    def decoded(found: re.Match[str]) -> str:
        if not found.group(1):
            return found.group()
        return bytes(int(b[1:], 16) if b[0] == "x" else int(b, 8) for b in found.group(1)[1:].split("\\")).decode()

    try:
        return _HIGH_BYTES.sub(decoded, text)
    except UnicodeDecodeError:
        # Only label names and values are ever written so, and neither may be anything but UTF-8.
        raise PromQLError(f"invalid label name {text}") from None


def _newer_syntax(bare: str) -> str:
    found = re.search(r"\b(anchored|smoothed)\b", bare)
    if found:
        return f"the modifier {found.group(1)}"
    if (
        re.search(r"(\boffset\s*[-+]?\s*\(|\[[^\]]*[-+*/%^(])", bare)
        or re.search(
            r"(\[|:|\boffset\s*[-+]?)\s*[-+]?\s*(step|range|min_of|max_of|start|end|min|max)\s*\(", bare, re.IGNORECASE
        )
        or re.search(r"\boffset\s+[-+]?\s*[\w.]+\s*[-+*/%^]\s*\d", bare)
    ):
        return "duration expressions"
    if re.search(r"\binfo\s*\(", bare):
        return "function info()"
    found = re.search(r"\b(fill|fill_left|fill_right)\s*\(", bare)
    if found:
        return f"the modifier {found.group(1)}"
    if re.search(r"</|>/", bare):
        return "the trim operators </ and >/ of native histograms"
    return ""


def _first_line(error: ValueError) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else "unknown error"


def _milliseconds(length: timedelta | None) -> int:
    return 0 if length is None else round(length / _MILLISECOND)


def _at(modifier: Any) -> int | str | None:
    if modifier is None:
        return None
    kind = str(modifier.type).rpartition(".")[2]
    if kind in ("Start", "End"):
        return "start" if kind == "Start" else "end"
    at: int = round((modifier.at - _EPOCH) / _MILLISECOND)
    if at >= _NEGATIVE_AT * 1000:
        return -(at - _NEGATIVE_AT * 1000)
    return at


def _selector(tree: Any) -> Selector:
    if tree.matchers.or_matchers:
        raise PromQLSyntaxError(
            'invalid parameter "query": 1:1: parse error: unexpected "or" in label matching, expected "," or "}"'
        )
    matchers = [LabelMatcher(m.name, _OPS[str(m.op).rpartition(".")[2]], m.value) for m in tree.matchers.matchers]
    if tree.name is not None and not any(m.name == NAME and m.op == EQUAL for m in matchers):
        matchers.append(LabelMatcher(NAME, EQUAL, tree.name))
    for matcher in matchers:
        matcher.validate()
    return Selector(tuple(matchers), _milliseconds(tree.offset), _at(tree.at))


def _convert(tree: Any) -> Node:
    kind = type(tree).__name__
    if kind == "ParenExpr":
        return _convert(tree.expr)
    if kind == "NumberLiteral":
        return Number(float(tree.val))
    if kind == "StringLiteral":
        return String(tree.val)
    if kind == "VectorSelector":
        return _selector(tree)
    if kind == "MatrixSelector":
        return Range(_selector(tree.vector_selector), _milliseconds(tree.range))
    if kind == "SubqueryExpr":
        step = None if tree.step is None else _milliseconds(tree.step)
        return Subquery(_convert(tree.expr), _milliseconds(tree.range), step, _milliseconds(tree.offset), _at(tree.at))
    if kind == "UnaryExpr":
        return Unary(_convert(tree.expr))
    if kind == "Call":
        return FunctionCall(tree.func.name, tuple(_convert(arg) for arg in tree.args))
    if kind == "AggregateExpr":
        without = tree.modifier is not None and str(tree.modifier.type).endswith("Without")
        labels = tuple(tree.modifier.labels) if tree.modifier is not None else ()
        param = None if tree.param is None else _convert(tree.param)
        return Aggregate(str(tree.op), _convert(tree.expr), param, labels, without)
    if kind == "BinaryExpr":
        return _binary(tree)
    raise PromQLUnsupported(f"unsupported PromQL: {kind}")


def _binary(tree: Any) -> Binary:
    modifier = tree.modifier
    op = str(tree.op)
    card = "many-to-many" if op in ("and", "or", "unless") else "one-to-one"
    on, matching, include, return_bool = False, (), (), False
    fill_left: float | None = None
    fill_right: float | None = None
    if modifier is not None:
        card = _CARDS[str(modifier.card).rpartition(".")[2]]
        return_bool = bool(modifier.return_bool)
        include = tuple(modifier.group_labels or ())
        if modifier.matching is not None:
            on = str(modifier.matching.type).endswith("Include")
            matching = tuple(modifier.matching.labels)
        if modifier.fill_values is not None:
            fill_left, fill_right = modifier.fill_values.lhs, modifier.fill_values.rhs
    return Binary(
        op,
        _convert(tree.lhs),
        _convert(tree.rhs),
        card,
        on,
        matching,
        include,
        return_bool,
        fill_left,
        fill_right,
    )
