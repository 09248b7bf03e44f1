"""The parts of PromQL by themselves: trees of texts, their errors, labels, numbers, frames, bounds, the hash."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest

from tachograph.console.promql import (
    Limits,
    PromQLEngine,
    PromQLError,
    PromQLSyntaxError,
    PromQLTimeout,
    PromQLUnsupported,
    RawSeries,
)
from tachograph.console.promql import labels as label
from tachograph.console.promql.matchers import LabelMatcher, compile_regex
from tachograph.console.promql.numerics import almost_equal, general, kahan_step, plain_decimal, sample_text
from tachograph.console.promql.syntax import (
    MAX_DEPTH,
    MAX_QUERY_LENGTH,
    Aggregate,
    Binary,
    FunctionCall,
    Node,
    Number,
    Range,
    Selector,
    String,
    Subquery,
    Unary,
    parse,
    parse_selector,
    prettify,
    selectors,
    value_type,
)
from tachograph.console.promql.types import STALE_NAN, Frame, is_stale, merge_same_labels
from tachograph.console.promql.xxhash import ratio_offset, xxh64


def named(name: str, *matchers: LabelMatcher, offset: int = 0, at: int | str | None = None) -> Selector:
    return Selector((*matchers, LabelMatcher("__name__", "=", name)), offset, at)


def pair(op: str, card: str = "one-to-one", **given: object) -> Binary:
    usual = {"on": False, "matching": (), "include": (), "return_bool": False, "fill_left": None, "fill_right": None}
    return Binary(op, named("a"), named("b"), card, **{**usual, **given})


TREES: list[tuple[str, Node]] = [
    ("1_000.5e1", Number(10005.0)),
    ("0x1F", Number(31.0)),
    ("1h30m", Number(5400.0)),
    ("- - 1", Number(1.0)),
    ("(((2)))", Number(2.0)),
    ("`a\\x41`", String("a\\x41")),
    (r"'a\x41\101\xc3\xa9\n\303\251'", String("aAAé\né")),
    (r'"a\x22b"', String('a"b')),
    (r'"a\x5cnb\x0a"', String("a\\nb\n")),
    (r'"\\xc3é\x7f\177\xc2\x80"', String("\\xc3é\x7f\x7f\x80")),
    (r'"\x41" # a comment with "', String("A")),
    ("up # one\n# two", named("up")),
    ('up{a="b",}', named("up", LabelMatcher("a", "=", "b"))),
    (
        '{__name__="up",a!~"b",c=~"d|e",f!="g"}',
        Selector(
            (
                LabelMatcher("__name__", "=", "up"),
                LabelMatcher("a", "!~", "b"),
                LabelMatcher("c", "=~", "d|e"),
                LabelMatcher("f", "!=", "g"),
            ),
            0,
            None,
        ),
    ),
    ('{__name__=~"x.*"}', Selector((LabelMatcher("__name__", "=~", "x.*"),), 0, None)),
    ("up offset 1m", named("up", offset=60_000)),
    ("up offset -1m30s5ms", named("up", offset=-90_005)),
    ("up @ 1.5", named("up", at=1500)),
    ("up @ -1.5", named("up", at=-1500)),
    ("up @ - 1_000.25e1", named("up", at=-10_002_500)),
    ("up @ -0", named("up", at=0)),
    ("up @ 0", named("up", at=0)),
    ("up @ 1700000000.123", named("up", at=1_700_000_000_123)),
    ("up @ start()", named("up", at="start")),
    ("up @ end() offset 2w", named("up", offset=1_209_600_000, at="end")),
    ("up[1y2w3d4h5m6s7ms]", Range(named("up"), 33_019_506_007)),
    ("up[1m] @ 100 offset 3s", Range(named("up", offset=3000, at=100_000), 60_000)),
    ("up[1m:]", Subquery(named("up"), 60_000, None, 0, None)),
    ("up[1m:10s] @ -3 offset -1s", Subquery(named("up"), 60_000, 10_000, -1000, -3000)),
    (
        "sum(up)[5m:1m] @ start()",
        Subquery(Aggregate("sum", named("up"), None, (), False), 300_000, 60_000, 0, "start"),
    ),
    ("+up", named("up")),
    ("-up", Unary(named("up"))),
    ("holt_winters", named("holt_winters")),
    (
        "holt_winters (up[5m], 0.1, 0.2)",
        FunctionCall("double_exponential_smoothing", (Range(named("up"), 300_000), Number(0.1), Number(0.2))),
    ),
    ("time()", FunctionCall("time", ())),
    ("sum by (a, b) (up)", Aggregate("sum", named("up"), None, ("a", "b"), False)),
    ("SUM(up) without (a)", Aggregate("sum", named("up"), None, ("a",), True)),
    ("sum without () (up)", Aggregate("sum", named("up"), None, (), True)),
    ("topk(3, up)", Aggregate("topk", named("up"), Number(3.0), (), False)),
    ('count_values by (x) ("v", up)', Aggregate("count_values", named("up"), String("v"), ("x",), False)),
    ("a + b", pair("+")),
    ("a atan2 b", pair("atan2")),
    ("a == bool on (x) b", pair("==", on=True, matching=("x",), return_bool=True)),
    ("a / ignoring (x, y) group_left b", pair("/", "many-to-one", matching=("x", "y"))),
    ("a * on (x) group_right (y, z) b", pair("*", "one-to-many", on=True, matching=("x",), include=("y", "z"))),
    ("a and b", pair("and", "many-to-many")),
    ("a or b", pair("or", "many-to-many")),
    ("a unless b", pair("unless", "many-to-many")),
    ("a and on (x) b", pair("and", "many-to-many", on=True, matching=("x",))),
    ("a unless ignoring (x) b", pair("unless", "many-to-many", matching=("x",))),
    ("a + on (x) fill_left (1) fill_right (2) b", pair("+", on=True, matching=("x",), fill_left=1.0, fill_right=2.0)),
    ("a - fill_right (2) b", pair("-", fill_right=2.0)),
    ("a + fill (3) b", pair("+", fill_left=3.0, fill_right=3.0)),
]


@pytest.mark.parametrize(("query", "tree"), TREES, ids=[query for query, _ in TREES])
def test_a_text_is_read_as_this_tree(query: str, tree: Node) -> None:
    assert parse(query) == tree


ERRORS: list[tuple[str, type[PromQLError], str]] = [
    (query, PromQLSyntaxError, f'invalid parameter "query": 1:1: parse error: {text}')
    for query, text in [
        ("x{", "unexpected end of input inside braces"),
        (")", "unexpected right parenthesis ')'"),
        ("rate(x)", "expected type matrix in call to function 'rate', got vector"),
        ("1 == 1", "comparisons between scalars must use BOOL modifier"),
        ('up{a="b" or c="d"}', 'unexpected "or" in label matching, expected "," or "}"'),
        ("xanchored y", "invalid promql query"),
        ("up @ NaN", "timestamp out of bounds for @ modifier: NaN"),
        ("up @ 1e300", "a number, time or duration is out of range"),
        ("up @ -1e15", "a number, time or duration is out of range"),
        ("up offset 99999999y", "a number, time or duration is out of range"),
    ]
]
ERRORS += [
    (query, PromQLUnsupported, f"unsupported PromQL: {text}")
    for query, text in [
        ("x[5m] smoothed", "the modifier smoothed"),
        ("rate(x[5m] anchored)", "the modifier anchored"),
        ("rate(x[step()])", "duration expressions"),
        ("rate(x[5m:range()])", "duration expressions"),
        ("rate(x[5m:-range()])", "duration expressions"),
        ("rate(x[5m + 1m])", "duration expressions"),
        ("rate(x[5m*2:])", "duration expressions"),
        ("rate(x[(5m)])", "duration expressions"),
        ("x offset (1m)", "duration expressions"),
        ("x offset -(1m)", "duration expressions"),
        ("x offset - step()", "duration expressions"),
        ("x OFFSET MAX_OF(1m, 2m)", "duration expressions"),
        ("x offset 1m + 2m + (", "duration expressions"),
        ("x[MIN(1m, 2m)]", "duration expressions"),
        ("x @ - -1", "a negative duration after @"),
        ("x @ -1h", "a negative duration after @"),
        ("info(x", "function info()"),
        ("a + fill_left(b", "the modifier fill_left"),
        ("a fill_right (", "the modifier fill_right"),
        ("a fill(", "the modifier fill"),
        ("a </ b", "the trim operators </ and >/ of native histograms"),
        ("a >/ b", "the trim operators </ and >/ of native histograms"),
    ]
    if query != "x @ - -1"
]
ERRORS += [
    ("", PromQLSyntaxError, 'invalid parameter "query": unknown position: parse error: no expression found in input'),
    ("  ", PromQLSyntaxError, 'invalid parameter "query": unknown position: parse error: no expression found in input'),
    ('"\\xff"', PromQLError, 'invalid label name "\\xff"'),
    (
        "x" * (MAX_QUERY_LENGTH + 1),
        PromQLSyntaxError,
        f'invalid parameter "query": longer than {MAX_QUERY_LENGTH} characters',
    ),
]


@pytest.mark.parametrize(("query", "kind", "text"), ERRORS, ids=[query[:40] for query, _, _ in ERRORS])
def test_what_cannot_be_read_says_why(query: str, kind: type[PromQLError], text: str) -> None:
    with pytest.raises(PromQLError) as raised:
        parse(query)
    assert (type(raised.value), str(raised.value)) == (kind, text)


def test_words_of_newer_syntax_are_no_reason_where_the_text_is_right() -> None:
    for query in ("fill + 1", 'x{a="smoothed </ info("} # anchored', "info + 1", "offset", "min + max"):
        parse(query)


def test_the_longest_query_is_read() -> None:
    assert MAX_QUERY_LENGTH == 65_536
    assert parse("x" * MAX_QUERY_LENGTH) == named("x" * MAX_QUERY_LENGTH)


DEEPEST: list[tuple[Callable[[int], str], int]] = [
    (lambda n: "1" + "+1" * n, 150),
    (lambda n: "1" + "^1" * n, 150),
    (lambda n: "up" + " or up" * n, 150),
    (lambda n: "up" + " AND up" * n, 150),
    (lambda n: "-" * n + "1", 150),
    (lambda n: "- " * n + "1", 150),
    (lambda n: "(" * n + "1" + ")" * n, 75),
    (lambda n: "sum by (a) (" * n + "up" + ")" * n, 75),
    (lambda n: "max_over_time(" * n + "up" + "[5m:1m])" * n, 74),
    (lambda n: "(" * n + "1" + "+1)" * n + "+1" * 10, 46),
    (lambda n: "+".join(["(1+1+1)"] * n), 146),
    (lambda n: "1 + 1 * 1 ^ (" * n + "1" + ")" * n, 21),
    (lambda n: ("-" * 3 + "(") * n + "1" + ")" * n, 18),
    (lambda n: "2^2^2^2^2^2^2^2^(" * n + "1" + ")" * n, 8),
    (lambda n: "1+1+1+1+1+1+1+1+(" * n + "1" + ")" * n, 16),
    (lambda n: "clamp(up" + "+1" * n + "," + "1" + "+1" * n + ",1)", 148),
    (lambda n: "(((1)))" + "+1" * n, 144),
    (lambda n: "1" + "+1" * 40 + "+" + "(" * n + "1" + ")" * n, 71),
    (lambda n: "up" + ' + up{a="b",c!="d"}' * n, 146),
    (lambda n: "1" + " == bool 1" * n, 75),
    (lambda n: "up" + " + up @ -1" * n, 150),
    (lambda n: "1" + " + # -----\n1" * n, 150),
    (lambda n: "up" + ' + up{a="----"}' * n, 147),
]


@pytest.mark.parametrize(("form", "deepest"), DEEPEST, ids=[form(1) for form, _ in DEEPEST])
def test_a_query_may_be_so_deep_and_no_deeper(form: Callable[[int], str], deepest: int) -> None:
    with pytest.raises(
        PromQLSyntaxError, match=f'^invalid parameter "query": nested or chained deeper than {MAX_DEPTH}$'
    ):
        parse(form(deepest + 1))
    parse(form(deepest))


def test_many_arguments_are_not_deep() -> None:
    assert len(parse("label_join(up," + "'a'," * 500 + "'b')").args) == 502


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("1", "scalar"), ("'a'", "string"), ("x", "vector"), ("x[1m]", "matrix"), ("x[1m:]", "matrix"),
        ("time()", "scalar"), ("scalar(x)", "scalar"), ("pi()", "scalar"), ("start()", "scalar"), ("end()", "scalar"),
        ("step()", "scalar"), ("range()", "scalar"), ("min_of(1, 2)", "scalar"), ("max_of(1, 2)", "scalar"),
        ("abs(x)", "vector"), ("-x", "vector"), ("-time()", "scalar"), ("1 + time()", "scalar"), ("1 + x", "vector"),
        ("x + 1", "vector"), ("x + x", "vector"), ("sum(x)", "vector"),
    ],
)  # fmt: skip
def test_the_type_of_an_expression(query: str, kind: str) -> None:
    assert value_type(parse(query)) == kind


def test_every_selector_of_a_query_is_found() -> None:
    query = (
        "sum(a) + -b - topk(scalar(d), rate(c[1m])) * max_over_time(e[5m:]) and clamp(f, scalar(g), 1) or sum(1 + h)"
    )
    assert [one.matchers[-1].value for one in selectors(parse(query))] == [*"abcdefgh"]


def test_a_series_selector_is_its_matchers() -> None:
    assert parse_selector('up{a="b"}') == (LabelMatcher("a", "=", "b"), LabelMatcher("__name__", "=", "up"))


@pytest.mark.parametrize("text", ["sum(up)", "up[1m]", "up offset 1m", "up @ 0", "1"])
def test_what_is_no_series_selector_is_refused(text: str) -> None:
    with pytest.raises(PromQLSyntaxError) as raised:
        parse_selector(text)
    assert str(raised.value) == f'invalid parameter "match[]": 1:1: parse error: not a series selector: {text}'


def test_a_series_selector_that_cannot_be_read_names_its_parameter() -> None:
    with pytest.raises(PromQLSyntaxError) as raised:
        parse_selector("up{")
    assert str(raised.value) == 'invalid parameter "match[]": 1:1: parse error: unexpected end of input inside braces'


def test_a_query_is_laid_out_on_lines() -> None:
    query = f"sum by (provider) (rate(requests_total[5m])) / {'x' * 60} + on (provider) group_left (model) {'y' * 60}"
    assert prettify("sum(x)") == "sum(x)"
    assert "\n" in prettify(query)
    assert parse(prettify(query)) == parse(query)
    with pytest.raises(PromQLSyntaxError):
        prettify("sum(")


LABELS = label.labels_of({"b": "2", "__name__": "n", "a": "1", "none": "", "__type__": "t", "__unit__": "u"})


def test_labels_are_sorted_pairs_without_empty_ones() -> None:
    assert LABELS == (("__name__", "n"), ("__type__", "t"), ("__unit__", "u"), ("a", "1"), ("b", "2"))
    assert [label.get(LABELS, name) for name in ("a", "b", "c", "__name__")] == ["1", "2", "", "n"]
    assert label.without_name(LABELS) == (("a", "1"), ("b", "2"))
    assert label.keep(LABELS, ["b", "c", "__name__"]) == (("__name__", "n"), ("b", "2"))
    assert label.drop(LABELS, ["b", "c", "__name__"]) == (("__type__", "t"), ("__unit__", "u"), ("a", "1"))
    assert label.replace((("a", "1"), ("b", "2")), {"a": "", "c": "3", "b": "4"}) == (("b", "4"), ("c", "3"))
    assert label.text((("a", '1"'), ("b", "x\\y\nz\tw"))) == r'{a="1\"", b="x\\y\nz\tw"}'
    assert label.text(()) == "{}"


@pytest.mark.parametrize(
    ("op", "value", "found"),
    [
        ("=", "b.", [False, True, False, False]),
        ("!=", "b.", [True, False, True, True]),
        ("=~", "b.", [False, True, True, False]),
        ("!~", "b.", [True, False, False, True]),
        ("=~", "", [True, False, False, False]),
        ("=~", ".*", [True, True, True, True]),
    ],
)
def test_a_matcher_is_anchored_at_both_ends(op: str, value: str, found: list[bool]) -> None:
    matcher = LabelMatcher("a", op, value)
    assert [matcher.matches(text) for text in ("", "b.", "b\n", "abc")] == found
    assert str(matcher) == f'a{op}"{value}"'


@pytest.mark.parametrize("op", ["=", "!=", "=~", "!~"])
def test_only_expressions_are_compiled(op: str) -> None:
    matcher = LabelMatcher("a", op, "(")
    if op in ("=", "!="):
        matcher.validate()
    else:
        with pytest.raises(PromQLSyntaxError, match=r"^error parsing regexp: missing \): \($"):
            matcher.validate()
    assert compile_regex("a") is compile_regex("a")


@pytest.mark.parametrize(
    ("value", "plain", "sample", "short"),
    [
        (0.0, "0", "0", "0"),
        (-0.0, "-0", "-0", "-0"),
        (math.nan, "NaN", "NaN", "NaN"),
        (math.inf, "+Inf", "+Inf", "+Inf"),
        (-math.inf, "-Inf", "-Inf", "-Inf"),
        (1, "1", "1", "1"),
        (-1.5, "-1.5", "-1.5", "-1.5"),
        (999_999.0, "999999", "999999", "999999"),
        (1e6, "1000000", "1000000", "1e+06"),
        (-1_234_567.5, "-1234567.5", "-1234567.5", "-1.2345675e+06"),
        (1e16, "10000000000000000", "10000000000000000", "1e+16"),
        (1e-4, "0.0001", "0.0001", "0.0001"),
        (9.9e-5, "0.000099", "0.000099", "9.9e-05"),
        (1e-6, "0.000001", "0.000001", "1e-06"),
        (9.99e-7, "0.000000999", "9.99e-07", "9.99e-07"),
        (-2.5e-9, "-0.0000000025", "-2.5e-09", "-2.5e-09"),
        (9.99e20, "999000000000000000000", "999000000000000000000", "9.99e+20"),
        (1e21, "1000000000000000000000", "1e+21", "1e+21"),
        (-1e21, "-1000000000000000000000", "-1e+21", "-1e+21"),
        (1.5e100, f"15{'0' * 99}", "1.5e+100", "1.5e+100"),
        (1e-100, f"0.{'0' * 99}1", "1e-100", "1e-100"),
        (5e-324, f"0.{'0' * 323}5", "5e-324", "5e-324"),
        (1.7976931348623157e308, f"17976931348623157{'0' * 292}", "1.7976931348623157e+308", "1.7976931348623157e+308"),
    ],
)
def test_numbers_are_written_as_go_writes_them(value: float, plain: str, sample: str, short: str) -> None:
    assert (plain_decimal(value), sample_text(value), general(value)) == (plain, sample, short)


@pytest.mark.parametrize(
    ("a", "b", "epsilon", "equal"),
    [
        (1.0, 1.0, 0.0, True),
        (1.0, 1.1, 0.04, False),
        (1.0, 1.1, 0.05, True),
        (1.1, 1.0, 0.05, True),
        (-1.0, 1.0, 0.99, False),
        (-1.0, 1.0, 1.01, True),
        (-1.0, -1.1, 0.05, True),
        (-1.0, -1.1, 0.04, False),
        (math.nan, math.nan, 1e-9, True),
        (math.nan, 1.0, 1e9, False),
        (1.0, math.nan, 1e9, False),
        (math.inf, math.inf, 1e-9, True),
        (math.inf, -math.inf, 1e-9, False),
        (math.inf, 1.0, 1e-9, False),
        (0.0, 0.0, 0.0, True),
        (0.0, 1e-300, 0.1, False),
        (1e-300, 0.0, 0.1, False),
        (0.0, 1e-309, 0.1, True),
        (1e-309, 0.0, 0.1, True),
        (0.0, 2.3e-309, 0.1, False),
        (1e-309, 2e-309, 0.1, True),
        (1e-309, 2e-309, 0.01, False),
        (1.6e308, 1.7e308, 0.01, False),
        (1.6e308, 1.7e308, 0.06, True),
    ],
)
def test_values_are_almost_equal_within_a_share_of_their_sum(a: float, b: float, epsilon: float, equal: bool) -> None:
    with np.errstate(all="ignore"):
        assert almost_equal(np.asarray([a]), np.asarray([b]), epsilon).tolist() == [equal]


def test_a_compensated_sum_is_the_exact_one() -> None:
    rng = random.Random(1)
    terms = [[rng.choice((1e16, -1e16, 1.0, -3.0, 1e-3)) * rng.randrange(1, 9) for _ in range(40)] for _ in range(30)]
    total, carry = np.zeros(30), np.zeros(30)
    for column in range(40):
        x = np.asarray([row[column] for row in terms])
        active = np.asarray([column % 7 != row % 7 for row in range(30)])
        before = total.copy(), carry.copy()
        total, carry = kahan_step(x, total, carry, active)
        assert (total[~active] == before[0][~active]).all()
        assert (carry[~active] == before[1][~active]).all()
    for row in range(30):
        exact = math.fsum(terms[row][column] for column in range(40) if column % 7 != row % 7)
        assert total[row] + carry[row] == pytest.approx(exact, rel=1e-12)


def test_an_infinite_sum_carries_nothing() -> None:
    with np.errstate(all="ignore"):
        total, carry = kahan_step(np.asarray([math.inf]), np.asarray([1.0]), np.asarray([0.5]), np.asarray([True]))
    assert (total.tolist(), carry.tolist()) == ([math.inf], [0.0])


def _reference_hash(data: bytes) -> int:
    """The steps of https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md, one by one (checked 2026-11-28)."""
    p1, p2, p3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
    p4, p5, full = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5, 2**64

    def turned(x: int, by: int) -> int:
        return (x * 2**by + x // 2 ** (64 - by)) % full

    def mixed(accumulator: int, lane: int) -> int:
        return turned((accumulator + lane * p2) % full, 31) * p1 % full

    left = list(data)

    def word(size: int) -> int:
        taken = [left.pop(0) for _ in range(size)]
        return sum(byte * 256**i for i, byte in enumerate(taken))

    value = p5
    if len(data) >= 32:
        one, two, three, four = (p1 + p2) % full, p2, 0, -p1 % full
        while len(left) >= 32:
            one, two, three, four = (
                mixed(one, word(8)),
                mixed(two, word(8)),
                mixed(three, word(8)),
                mixed(four, word(8)),
            )
        value = (turned(one, 1) + turned(two, 7) + turned(three, 12) + turned(four, 18)) % full
        for each in (one, two, three, four):
            value = ((value ^ mixed(0, each)) * p1 + p4) % full
    value = (value + len(data)) % full
    while len(left) >= 8:
        value = (turned(value ^ mixed(0, word(8)), 27) * p1 + p4) % full
    if len(left) >= 4:
        value = (turned(value ^ word(4) * p1 % full, 23) * p2 + p3) % full
    while left:
        value = turned(value ^ word(1) * p5 % full, 11) * p1 % full
    value = (value ^ value // 2**33) * p2 % full
    value = (value ^ value // 2**29) * p3 % full
    return value ^ value // 2**32


def test_the_hash_is_the_specified_one_at_every_length() -> None:
    rng = random.Random(2)
    for size in range(140):
        data = rng.randbytes(size)
        assert xxh64(data) == _reference_hash(data), size


def test_labels_are_hashed_with_their_lengths_in_one_byte_or_four() -> None:
    for size in (0, 1, 254, 255, 256, 70_000):
        length = bytes([size]) if size < 255 else b"\xff" + bytes([size % 256, size // 256 % 256, size // 65536])
        encoded = b"\x01a" + length + b"x" * size + b"\x02\xc3\xa9\x01b"
        assert ratio_offset((("a", "x" * size), ("é", "b"))) == _reference_hash(encoded) / (2**64 - 1)


def frame(rows: list[tuple[str, list[float | None], bool]]) -> Frame:
    return Frame(
        [label.labels_of({"__name__": "n", "a": name}) for name, _, _ in rows],
        np.asarray([[math.nan if v is None else v for v in values] for _, values, _ in rows]).reshape(len(rows), -1),
        np.asarray([[v is not None for v in values] for _, values, _ in rows]).reshape(len(rows), -1),
        np.asarray([drop for _, _, drop in rows], dtype=bool),
    )


def shown(one: Frame) -> list[tuple[str, list[float | None], bool]]:
    return [
        (
            label.get(labels, "a"),
            [v if here else None for v, here in zip(values, present, strict=True)],
            drop,
        )
        for labels, values, present, drop in zip(
            one.labels, one.values.tolist(), one.present.tolist(), one.drop_name.tolist(), strict=True
        )
    ]


def test_rows_of_equal_labels_are_joined_where_only_one_has_a_value() -> None:
    joined = merge_same_labels(
        frame([("x", [1, None, None], False), ("y", [5, 6, 7], False), ("x", [None, 2, None], True)])
    )
    assert shown(joined) == [("x", [1, 2, None], True), ("y", [5, 6, 7], False)]
    with pytest.raises(PromQLError, match=r"^vector cannot contain metrics with the same labelset$"):
        merge_same_labels(frame([("x", [1, None], False), ("x", [2, 3], False)]))


def test_a_frame_keeps_its_marks_when_rows_are_taken() -> None:
    whole = frame([("x", [1, 2], True), ("y", [None, None], False), ("z", [3, None], False)])
    assert shown(whole.take([2, 0])) == [("z", [3, None], False), ("x", [1, 2], True)]
    assert shown(whole.compact()) == [("x", [1, 2], True), ("z", [3, None], False)]
    assert whole.take([0]).compact().labels == whole.labels[:1]
    assert [one for one, _ in shown_labels(whole.compact().without_dropped_names())] == [
        (("a", "x"),),
        (("__name__", "n"), ("a", "z")),
    ]
    assert Frame.empty(3).values.shape == (0, 3) == Frame.empty(3).present.shape


def shown_labels(one: Frame) -> list[tuple[label.Labels, bool]]:
    return list(zip(one.labels, one.drop_name.tolist(), strict=True))


def test_only_the_mark_of_staleness_is_stale() -> None:
    assert is_stale(np.asarray([STALE_NAN, math.nan, 0.0, math.inf])).tolist() == [True, False, False, False]
    assert is_stale(np.asarray([[1.0, STALE_NAN], [2.0, 3.0]]).T).tolist() == [[False, False], [True, False]]


MANY = "query processing would load too many samples into memory in query execution"


class Source:
    """Three series of ten samples, one each second from 1 s on; notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def select(self, matchers: tuple[LabelMatcher, ...], start: int, end: int) -> list[RawSeries]:
        self.asked.append((start, end))
        times = np.arange(1000, 11_000, 1000, dtype=np.int64)
        return [RawSeries((("i", str(i)),), times, np.arange(10.0) * i) for i in range(3)]


STEPS = (5000, 9000, 1000)


@pytest.mark.parametrize(
    ("query", "points", "answer"),
    [
        # 30 samples are read, and 3 series times 5 steps made, counted by the selector and by the node.
        ("x", 30 + 15 + 15, 15),
        # A sum has one series, a number as many points as steps.
        ("sum(x)", 30 + 15 + 15 + 5, 5),
        ("x + 1", 30 + 15 + 15 + 5 + 15, 15),
        ("1 + 2", 5 + 5 + 5, 0),
        ("vector(time())", 5 + 5, 5),
        ("max_over_time(x[2s])", 30 + 15 + 15, 15),
        # Pinned to a time: one step is made, and then repeated.
        ("x @ 5", 30 + 3 + 3 + 15, 15),
        # Six steps inside.
        ("max_over_time(x[2s:1s])", 30 + 18 + 18 + 15 + 15, 15),
    ],
)
def test_samples_and_points_of_all_nodes_together_are_bounded(query: str, points: int, answer: int) -> None:
    used = points + 10 * answer  # as text an answer is long
    PromQLEngine(Source(), Limits(max_samples=used)).range(query, *STEPS)
    with pytest.raises(PromQLError, match=f"^{MANY}$"):
        PromQLEngine(Source(), Limits(max_samples=used - 1)).range(query, *STEPS)


@pytest.mark.parametrize("query", ["x", "max_over_time(x[2s])", "x @ 5"])
def test_points_of_one_node_and_of_the_answer_are_bounded(query: str) -> None:
    for points, ask in (
        (150, lambda engine: engine.range(query, *STEPS)),
        (3, lambda engine: engine.instant(query, 9000)),
    ):
        ask(PromQLEngine(Source(), Limits(max_points=points)))
        with pytest.raises(PromQLError, match=f"^{MANY}$"):
            ask(PromQLEngine(Source(), Limits(max_points=points - 1)))


def test_series_of_a_selector_and_of_the_answer_are_bounded() -> None:
    for query in ("x", "sum(x)", "max_over_time(x[1s])"):
        PromQLEngine(Source(), Limits(max_series=3)).range(query, *STEPS)
        with pytest.raises(PromQLError, match=r"^query processing would load too many series: 3, the limit is 2$"):
            PromQLEngine(Source(), Limits(max_series=2)).range(query, *STEPS)
    both = "x or label_replace(x, 'a', 'b', '', '')"
    few = PromQLEngine(Source(), Limits(max_series=5))
    for ask in (lambda: few.instant(both, 9000), lambda: few.range(both, *STEPS)):
        with pytest.raises(PromQLError, match=r"^query processing would load too many series: 6, the limit is 5$"):
            ask()
    assert len(PromQLEngine(Source(), Limits(max_series=6)).instant(both, 9000).series) == 6


def test_steps_are_bounded_and_go_on() -> None:
    few = PromQLEngine(Source(), Limits(max_steps=4))
    assert few.range("1", *STEPS).series[0][1].tolist() == [5000, 6000, 7000, 8000, 9000]
    with pytest.raises(PromQLSyntaxError) as raised:
        few.range("1", 5000, 10_000, 1000)
    assert str(raised.value) == (
        "exceeded maximum resolution of 4 points per timeseries. Try decreasing the query resolution (?step=XX)"
    )
    for step in (0, -1):
        with pytest.raises(PromQLSyntaxError) as raised:
            few.range("1", 5000, 10_000, step)
        assert str(raised.value) == (
            'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
            "Try a positive integer"
        )


def test_a_subquery_has_at_most_eleven_hundred_thousand_steps() -> None:
    engine = PromQLEngine(Source())
    engine.instant("count_over_time(vector(1)[1100001ms:1ms])", 9000)
    with pytest.raises(PromQLError, match=r"^query processing would load too many samples into memory in a subquery$"):
        engine.instant("count_over_time(vector(1)[1100002ms:1ms])", 9000)


def test_the_usual_limits() -> None:
    assert Limits() == Limits(50_000_000, 20_000_000, 20_000, 11_000, 30.0)
    engine = PromQLEngine(Source())
    assert (engine.lookback, engine.subquery_step, engine.limits) == (300_000, 60_000, Limits())


@pytest.mark.parametrize(("timeout", "said"), [(0.0, "0"), (-1.5, "-1.5"), (None, "-2"), (5.0, "-2")])
def test_the_shorter_of_both_deadlines_counts(timeout: float | None, said: str) -> None:
    engine = PromQLEngine(Source(), Limits(timeout_seconds=-2.0 if timeout in (None, 5.0) else 30.0))
    for ask in (lambda: engine.instant("x", 9000, timeout=timeout), lambda: engine.range("x", *STEPS, timeout=timeout)):
        with pytest.raises(PromQLTimeout) as raised:
            ask()
        assert str(raised.value) == f"query timed out in expression evaluation (after {said}s)"


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("x", 5000 - 300_000, 9000),
        ("x offset 2s", 3000 - 300_000, 7000),
        ("x @ 5", 5000 - 300_000, 5000),
        ("rate(x[2s])", 3000, 9000),
        ("rate(x[2s] offset 1s)", 2000, 8000),
        ("rate(x[2s] @ 7)", 5000, 7000),
        # The first step inside comes after the edge.
        ("max_over_time(x[2s:1s])", 4000 - 300_000, 9000),
        ("max_over_time(x[1999ms:1s])", 4000 - 300_000, 9000),
        ("max_over_time(x[2001ms:1s])", 3000 - 300_000, 9000),
        ("max_over_time(rate(x[3s])[4s:2s] offset 1s)", 2000 - 3000, 8000),
    ],
)
def test_only_what_is_needed_is_read(query: str, first: int, last: int) -> None:
    source = Source()
    PromQLEngine(source).range(query, *STEPS)
    assert source.asked == [(first, last)]


def test_a_subquery_without_a_step_takes_the_usual_one() -> None:
    for step, times in ((60_000, [0, 60_000]), (40_000, [0, 40_000, 80_000])):
        engine = PromQLEngine(Source(), subquery_step=step)
        assert engine.instant("vector(1)[90s:]", 89_999).series[0][1].tolist() == times


def test_trees_of_short_queries_are_kept() -> None:
    for length, kept in ((4096, True), (4097, False)):
        query = "x" * length
        assert (parse(query) is parse(query)) == kept
