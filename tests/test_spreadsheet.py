"""CSV that a spreadsheet cannot run."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest

from tachograph import spreadsheet


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\r=x", "\n=x", " =x", "＝x"]
)
def test_text_that_is_a_formula_gets_a_quote(text: str) -> None:
    out = io.StringIO()
    spreadsheet.write(out, ["team"], [[text]])
    header, row = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert header == ["team"]
    assert row == [f"'{text}".replace("\r", "\n")]


def test_numbers_and_plain_text_stay() -> None:
    out = io.StringIO()
    spreadsheet.write(out, ["a", "b", "c", "d", "e"], [[-1.5, Decimal("-0.000000001"), None, "-12", "a-b=c"]])
    assert out.getvalue() == "a,b,c,d,e\n-1.5,-0.000000001,,-12,a-b=c\n"
