"""The metrics of the ledger."""
