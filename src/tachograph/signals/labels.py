"""Label values as they may be on /metrics: any value in, a short printable string out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tachograph.errors import SettingsError

LONGEST: Final = 200
"""Characters kept of a label value; models and tools are named in fewer, and a prompt by mistake is not."""

UNKNOWN: Final = "unknown"
OTHER: Final = "other"

_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def clean(value: object) -> str:
    """A label value of any origin as valid text: None and "" become `unknown`, what UTF-8 cannot hold `?`."""
    if value is None or value == "":
        return UNKNOWN
    text = value if isinstance(value, str) else str(value)
    text = text[:LONGEST]
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text if text.isprintable() else _CONTROL.sub("\ufffd", text)


def render(names: Iterable[str], values: Iterable[str]) -> str:
    """`provider="openai",model="gpt-5"`; empty values are left out, as Prometheus does."""
    return ",".join(
        f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True) if value != ""
    )


def check_user_labels(names: Iterable[str], taken: Iterable[str]) -> tuple[str, ...]:
    """Names of the user's labels, checked for use as metric labels.

    Raises:
        SettingsError: A name is no Prometheus label name, or is a label of our families already.
    """
    taken = {*taken, "le", "quantile", "job", "instance"}
    checked: list[str] = []
    for name in names:
        if not _NAME.match(name) or name.startswith("__"):
            raise SettingsError(
                f"setting metrics.labels: {name!r} cannot be a metric label",
                do="Use letters, digits and _, not beginning with a digit or with __.",
            )
        if name in taken:
            raise SettingsError(
                f"setting metrics.labels: {name!r} is a label of the metrics already", do="Choose another key."
            )
        if name not in checked:
            checked.append(name)
    return tuple(checked)
