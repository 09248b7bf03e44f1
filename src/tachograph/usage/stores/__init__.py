"""Stores: where rows end up. One file each; all keep the same records and answer the same queries."""

from tachograph.usage.stores.base import Store
from tachograph.usage.stores.errors import (
    RowsRejected,
    StoreError,
    StoreFull,
    StoreTimeout,
    StoreUnavailable,
    UnknownVersion,
)
from tachograph.usage.stores.open import open_store

__all__ = [
    "RowsRejected",
    "Store",
    "StoreError",
    "StoreFull",
    "StoreTimeout",
    "StoreUnavailable",
    "UnknownVersion",
    "open_store",
]
