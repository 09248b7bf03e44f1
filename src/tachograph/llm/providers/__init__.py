"""Our providers, one file per vendor, on the vendors' own SDKs."""
