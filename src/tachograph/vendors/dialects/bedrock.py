"""Amazon Bedrock."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="bedrock",
    hosts=(".amazonaws.com", ".api.aws"),
)
