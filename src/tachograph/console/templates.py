"""The part of Go's templates that alert labels and annotations use.

Fields (`$labels.x`, `$value`), pipes, if/else/end, comparisons, and Prometheus' own functions for humans.
Queries inside templates are left out; using one is an error, which the annotation shows, as Prometheus does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tachograph.console.promql.errors import PromQLError
from tachograph.console.promql.matchers import compile_regex
from tachograph.console.promql.numerics import general


class TemplateError(ValueError):
    """A template that cannot be expanded."""


_ACTION = re.compile(r"\{\{(-\s)?\s*(.*?)\s*(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"""
    r"""|(?P<field>\$?\.?[A-Za-z_$][\w.]*|\.)|(?P<punct>[()|]))"""
)


def expand(template: str, labels: Mapping[str, str], value: float, external: Mapping[str, str] | None = None) -> str:
    """Expand a template; what goes wrong is in the result, as Prometheus has it."""
    if "{{" not in template:
        return template
    scope = {"$labels": labels, "$value": value, "$externalLabels": external or {}, "$externalURL": ""}
    try:
        return _Template(template).run(scope)
    except (TemplateError, PromQLError, ArithmeticError, TypeError, IndexError) as error:
        return f"<error expanding template: {error}>"


class _Template:
    def __init__(self, text: str) -> None:
        self._parts: list[tuple[str, str]] = []
        position = 0
        for found in _ACTION.finditer(text):
            plain = text[position : found.start()]
            if self._parts and self._parts[-1] == ("trim", ""):
                self._parts.pop()
                plain = plain.lstrip()
            self._parts.append(("text", plain.rstrip() if found.group(1) else plain))
            self._parts.append(("action", found.group(2)))
            if found.group(3):
                self._parts.append(("trim", ""))
            position = found.end()
        rest = text[position:]
        if self._parts and self._parts[-1] == ("trim", ""):
            self._parts.pop()
            rest = rest.lstrip()
        self._parts.append(("text", rest))

    def run(self, scope: Mapping[str, Any]) -> str:
        out: list[str] = []
        self._block(0, scope, out, active=True)
        return "".join(out)

    def _block(self, at: int, scope: Mapping[str, Any], out: list[str], *, active: bool) -> int:
        """Write parts until the end of the block; returns where its `else` or `end` stands."""
        while at < len(self._parts):
            kind, text = self._parts[at]
            if kind == "text":
                if active:
                    out.append(text)
            elif text == "end" or text.startswith("else"):
                return at
            elif text.startswith("if "):
                at = self._if(at, text[3:], scope, out, active=active)
            elif text.startswith(("/*", "range ", "with ", "define ", "template ")):
                if not text.startswith("/*"):
                    raise TemplateError(f"{text.split()[0]!r} is not supported here")
            elif active:
                out.append(_show(evaluate(text, scope)))
            at += 1
        return at

    def _if(self, at: int, condition: str, scope: Mapping[str, Any], out: list[str], *, active: bool) -> int:
        done = False
        while True:
            chosen = active and not done and bool(evaluate(condition, scope)) if condition else active and not done
            done = done or chosen
            at = self._block(at + 1, scope, out, active=chosen)
            if at >= len(self._parts):
                raise TemplateError("unexpected EOF")
            text = self._parts[at][1]
            if text == "end":
                return at
            condition = text.removeprefix("else").strip().removeprefix("if").strip()


def evaluate(text: str, scope: Mapping[str, Any]) -> object:
    tokens: list[tuple[str, str]] = []
    position = 0
    text = text.strip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise TemplateError(f"unexpected {text[position : position + 10]!r}")
        tokens.append((str(found.lastgroup), found.group(str(found.lastgroup))))
        position = found.end()
    value, rest = _pipeline(tokens, scope)
    if rest:
        raise TemplateError(f"unexpected {rest[0][1]!r}")
    return value


def _pipeline(tokens: list[tuple[str, str]], scope: Mapping[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    value, rest = _command(tokens, scope, [])
    while rest and rest[0] == ("punct", "|"):
        value, rest = _command(rest[1:], scope, [value])
    return value, rest


def _command(
    tokens: list[tuple[str, str]], scope: Mapping[str, Any], piped: list[Any]
) -> tuple[Any, list[tuple[str, str]]]:
    if not tokens:
        raise TemplateError("missing value for command")
    name = tokens[0][1]
    if tokens[0][0] == "field" and name in _FUNCTIONS:
        args: list[Any] = []
        rest = tokens[1:]
        while rest and rest[0] not in (("punct", "|"), ("punct", ")")):
            value, rest = _operand(rest, scope)
            args.append(value)
        return _FUNCTIONS[name](*args, *piped), rest
    if piped:
        raise TemplateError(f"function {name!r} not defined")
    return _operand(tokens, scope)


def _operand(tokens: list[tuple[str, str]], scope: Mapping[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    kind, text = tokens[0]
    if kind == "string":
        body = text[1:-1]
        if text[0] != "`":
            body = body.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
        return body, tokens[1:]
    if kind == "number":
        return float(text), tokens[1:]
    if text == "(":
        value, rest = _pipeline(tokens[1:], scope)
        if not rest or rest[0][1] != ")":
            raise TemplateError("unclosed left paren")
        return value, rest[1:]
    if kind == "field":
        return _field(text, scope), tokens[1:]
    raise TemplateError(f"unexpected {text!r}")


def _field(text: str, scope: Mapping[str, Any]) -> object:
    if text in ("true", "false"):
        return text == "true"
    for written, name in ((".Labels", "$labels"), (".Value", "$value"), (".ExternalLabels", "$externalLabels")):
        if text == written or text.startswith(written + "."):
            text = name + text[len(written) :]
    head, _, rest = text.partition(".")
    if head not in scope:
        raise TemplateError(
            f"function {text!r} not defined" if not text.startswith("$") else f"undefined variable {head!r}"
        )
    value = scope[head]
    if rest:
        if not isinstance(value, Mapping):
            raise TemplateError(f"can't evaluate field {rest}")
        return value.get(rest, "")
    return value


def _show(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return general(value)
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{k}:{v}" for k, v in sorted(value.items())) + "]"
    return str(value)


def _number(value: Any) -> float:  # noqa: ANN401 - what a template gives
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TemplateError(f"can't convert {value!r} to float") from None


def _four(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else f"{value:.4g}"


def _divided(number: float, base: int, mark: str = "") -> str:
    prefix = ""
    for following in "kMGTPEZY":
        if abs(number) < base:
            break
        prefix, number = following + mark, number / base
    return f"{_four(number)}{prefix}"


def _enlarged(number: float) -> str:
    prefix = ""
    for following in "munpfazy":
        if abs(number) >= 1:
            break
        prefix, number = following, number * 1000
    return f"{_four(number)}{prefix}"


def humanize(value: object) -> str:
    """Shorten a number with a metric prefix: 1234567 is 1.235M."""
    number = _number(value)
    if number == 0 or math.isnan(number) or math.isinf(number):
        return _four(number)
    return _enlarged(number) if abs(number) < 1 else _divided(number, 1000)


def humanize1024(value: object) -> str:
    """Shorten a number with a binary prefix."""
    number = _number(value)
    if abs(number) <= 1 or math.isnan(number) or math.isinf(number):
        return _four(number)
    return _divided(number, 1024, "i")


def humanize_percentage(value: object) -> str:
    """Write a ratio in percent: 0.123 is 12.3%."""
    return f"{_four(_number(value) * 100)}%"


def humanize_duration(value: object) -> str:
    """Write seconds as days, hours, minutes and seconds, or below one second with a prefix."""
    number = _number(value)
    if math.isnan(number) or math.isinf(number):
        return _four(number)
    if number == 0:
        return "0s"
    if abs(number) >= 1:
        sign = "-" if number < 0 else ""
        size = abs(number)
        whole = int(size)
        seconds, minutes, hours, days = whole % 60, whole // 60 % 60, whole // 3600 % 24, whole // 86400
        if days:
            return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
        if hours:
            return f"{sign}{hours}h {minutes}m {seconds}s"
        if minutes:
            return f"{sign}{minutes}m {seconds}s"
        return f"{sign}{_four(size)}s"
    return _enlarged(number) + "s"


def humanize_timestamp(value: object) -> str:
    """Write seconds since 1970 as a date."""
    number = _number(value)
    if math.isnan(number) or math.isinf(number):
        return _four(number)
    return datetime.fromtimestamp(number, UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")


def _printf(pattern: object, *args: object) -> str:
    values = iter(args)

    def fill(found: re.Match[str]) -> str:
        flags, verb = found.groups()
        if verb == "%":
            return "%"
        value = next(values, None)
        if verb in "vs":
            return f"%{flags}s" % _show(value)
        if verb == "q":
            return '"' + _show(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        if verb == "t":
            return _show(bool(value))
        number = _number(value)
        if verb == "d":
            return f"%{flags}d" % int(number)
        if verb == "g" and "." not in flags:
            return f"%{flags}s" % general(number)
        return f"%{flags}{verb}" % number

    return re.sub(r"%([-+ #0]*\d*(?:\.\d+)?)([vsqtdfgeEGx%])", fill, str(pattern))


def _replace(pattern: object, replacement: object, text: object) -> str:
    python = re.sub(r"\$\{?(\w+)\}?", r"\\\1", str(replacement))
    result: str = compile_regex(str(pattern)).sub(python, str(text))
    return result


def _compare(check: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def run(a: object, b: object) -> bool:
        if isinstance(a, str) != isinstance(b, str):
            raise TemplateError("incompatible types for comparison")
        return check(a, b)

    return run


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "humanize": humanize,
    "humanize1024": humanize1024,
    "humanizePercentage": humanize_percentage,
    "humanizeDuration": humanize_duration,
    "humanizeTimestamp": humanize_timestamp,
    "printf": _printf,
    "print": lambda *args: "".join(_show(a) for a in args),
    "title": lambda text: str(text).title(),
    "toUpper": lambda text: str(text).upper(),
    "toLower": lambda text: str(text).lower(),
    "stripPort": lambda text: str(text).rpartition(":")[0] or str(text),
    "match": lambda pattern, text: compile_regex(str(pattern)).search(str(text)) is not None,
    "reReplaceAll": _replace,
    "eq": _compare(lambda a, b: bool(a == b)),
    "ne": _compare(lambda a, b: bool(a != b)),
    "lt": _compare(lambda a, b: bool(a < b)),
    "le": _compare(lambda a, b: bool(a <= b)),
    "gt": _compare(lambda a, b: bool(a > b)),
    "ge": _compare(lambda a, b: bool(a >= b)),
    "not": lambda value: not value,
    "and": lambda *values: next((v for v in values if not v), values[-1]),
    "or": lambda *values: next((v for v in values if v), values[-1]),
    "len": lambda value: float(len(value)),
}
