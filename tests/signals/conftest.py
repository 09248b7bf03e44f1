"""Parts of the signals' tests."""

from support.recording import seen

__all__ = ["seen"]
