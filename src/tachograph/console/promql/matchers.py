"""Label matchers with RE2's regular expressions, anchored at both ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import re2  # type: ignore[import-untyped]  # the wheel has no py.typed

from tachograph.console.promql.errors import PromQLSyntaxError

EQUAL, NOT_EQUAL, MATCH, NOT_MATCH = "=", "!=", "=~", "!~"


class Regex(Protocol):
    """What is used of an expression of RE2."""

    def fullmatch(self, text: str, /) -> object: ...
    def search(self, text: str, /) -> object: ...
    def sub(self, replacement: str, text: str, /) -> str: ...


@lru_cache(maxsize=512)
def compile_regex(pattern: str) -> Regex:
    """Compile an RE2 expression in which `.` matches newlines too, as Prometheus 3 has it.

    RE2 runs in time linear to its input, so a hostile expression cannot hang the console.

    Raises:
        PromQLSyntaxError: The expression is not valid.
    """
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    try:
        compiled: Regex = re2.compile(pattern, options)
        return compiled
    except re2.error as error:
        reason = error.args[0] if error.args else error
        if isinstance(reason, bytes):
            reason = reason.decode("utf-8", "replace")
        raise PromQLSyntaxError(f"error parsing regexp: {reason}") from None


@dataclass(frozen=True, slots=True)
class LabelMatcher:
    """One condition on a label: name, operator (=, !=, =~, !~) and value."""

    name: str
    op: str
    value: str

    def matches(self, value: str) -> bool:
        """Return whether a label value ("" for a label that is not there) satisfies the condition."""
        if self.op == EQUAL:
            return value == self.value
        if self.op == NOT_EQUAL:
            return value != self.value
        found = compile_regex(self.value).fullmatch(value) is not None
        return found if self.op == MATCH else not found

    def validate(self) -> None:
        """Compile the expression now, so that a bad one fails before any data is read."""
        if self.op in (MATCH, NOT_MATCH):
            compile_regex(self.value)

    def __str__(self) -> str:
        from tachograph.console.promql.labels import quote

        return f"{self.name}{self.op}{quote(self.value)}"
