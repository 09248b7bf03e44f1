"""NVIDIA's hosted NIM."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="nvidia",
    hosts=("integrate.api.nvidia.com",),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
