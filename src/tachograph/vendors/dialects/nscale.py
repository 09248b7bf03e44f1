"""Nscale."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="nscale",
    hosts=("inference.api.nscale.com",),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
