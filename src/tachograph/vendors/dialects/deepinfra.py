"""DeepInfra: states what a request costs."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="deepinfra",
    hosts=("api.deepinfra.com", "deepinfra.helicone.ai"),
    stated_cost=("estimated_cost",),
    source="github.com/BerriAI/litellm/issues/38802 (dollars, of the tier that was served: 8.775e-06 for 11 and 5 "
    "tokens at 1.5 times $0.10 and $0.95 a million), deepinfra.com/blog/priority-service-tier; 2026-11-27",
)
