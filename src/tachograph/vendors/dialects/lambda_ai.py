"""Lambda."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="lambda",
    hosts=("api.lambda.ai",),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
