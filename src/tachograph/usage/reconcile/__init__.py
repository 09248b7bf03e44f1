"""Ours beside the provider's own report: where they differ, by day and model, and the likely cause."""

from tachograph.usage.reconcile.bill import Billed, BillError
from tachograph.usage.reconcile.causes import Cause
from tachograph.usage.reconcile.compare import Difference, Reconciled, reconcile

__all__ = ["BillError", "Billed", "Cause", "Difference", "Reconciled", "reconcile"]
