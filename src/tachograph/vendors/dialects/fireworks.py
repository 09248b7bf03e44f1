"""Fireworks."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="fireworks",
    hosts=("api.fireworks.ai", "fireworks.helicone.ai"),
    stream_usage="on_request",
)
