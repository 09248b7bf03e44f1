"""Hyperbolic."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="hyperbolic",
    hosts=("api.hyperbolic.xyz",),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
