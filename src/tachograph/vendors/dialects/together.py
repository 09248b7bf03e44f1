"""Together."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="together",
    hosts=("api.together.xyz", "api.together.ai", "together.helicone.ai"),
    stream_usage="on_request",
)
