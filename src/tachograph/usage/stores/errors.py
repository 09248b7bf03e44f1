"""What can go wrong with a store, by what the writer does about it."""

from __future__ import annotations

from tachograph.errors import TachographError


class StoreError(TachographError):
    """A store could not do what was asked."""


class StoreUnavailable(StoreError):
    """It cannot be reached, is full or is locked: keep the rows and try again."""


class StoreTimeout(StoreUnavailable):
    """It did not answer in time and was cut off."""


class StoreReplaced(StoreUnavailable):
    """Its files are not those that were opened: open it again, and read again what was not yet stored in it."""


class StoreFull(StoreUnavailable):
    """Its disk has no space left: try again with less at once."""


class RowsRejected(StoreError):
    """It will never take at least one of these rows: find it and set it aside."""


class UnknownVersion(StoreError):
    """Its tables are of a version that this Tachograph does not know or does not write."""
