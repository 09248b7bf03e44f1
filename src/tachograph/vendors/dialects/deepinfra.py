"""DeepInfra: states what a request costs."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="deepinfra",
    hosts=("api.deepinfra.com",),
    stated_cost=("estimated_cost",),
    source="answers of the host; that `estimated_cost` is in US dollars is our reading, no page says it; 2026-11-27",
)
