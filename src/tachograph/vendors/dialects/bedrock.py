"""Amazon Bedrock."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="bedrock",
    hosts=(".amazonaws.com", ".amazonaws.com.cn", ".api.aws"),
    host_part="bedrock",
)
