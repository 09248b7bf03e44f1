"""Hugging Face's router."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="huggingface",
    hosts=("router.huggingface.co", "api-inference.huggingface.co", ".endpoints.huggingface.cloud"),
)
