"""The usage ledger: every call's usage kept, whatever fails."""
