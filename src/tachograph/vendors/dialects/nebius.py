"""Nebius."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="nebius",
    hosts=("api.studio.nebius.ai", "api.studio.nebius.com", "api.tokenfactory.nebius.com"),
    source="docs.tokenfactory.nebius.com/api-reference/introduction; 2026-11-27",
)
