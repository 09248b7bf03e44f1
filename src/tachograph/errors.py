"""The errors of ours that a user can meet: each says what is wrong, where, and what to do."""

from __future__ import annotations


class TachographError(Exception):
    """Something a user can put right.

    Args:
        what: What is wrong, as a sentence.
        where: The file, setting, address or argument it was found in.
        do: What to do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, do: str | None = None) -> None:
        self.what = what
        self.where = where
        self.do = do
        super().__init__(what, where, do)

    def __str__(self) -> str:
        text = self.what
        if self.where:
            text += f" (in {self.where})"
        if self.do:
            text += f". {self.do}"
        return text


class SettingsError(TachographError):
    """A setting has a name or a value that is not allowed."""


class MissingExtraError(TachographError, ImportError):
    """An optional part was asked for whose packages are not installed."""

    def __init__(self, part: str, extra: str, missing: str) -> None:
        super().__init__(
            f"{part} needs the package {missing!r}, which is not installed",
            do=f"Install it: pip install 'tachograph[{extra}]'",
        )
        self.extra = extra
