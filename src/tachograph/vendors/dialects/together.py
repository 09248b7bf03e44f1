"""Together."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="together",
    hosts=("api.together.xyz", "api.together.ai"),
    stream_usage="on_request",
)
