"""Azure's serverless deployments of other vendors' models."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="azure",
    hosts=(".models.ai.azure.com", ".inference.ai.azure.com", "models.github.ai"),
)
