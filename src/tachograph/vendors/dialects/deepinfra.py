"""DeepInfra: states what a request costs."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="deepinfra",
    hosts=("api.deepinfra.com",),
    stated_cost=("estimated_cost",),
    source="deepinfra.com/docs/advanced/openai_api; 2026-11-27",
)
