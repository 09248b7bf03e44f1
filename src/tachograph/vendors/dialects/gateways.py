"""Gateways in front of many vendors: the label is that of the vendor whose API is used."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="",
    hosts=(
        "gateway.ai.cloudflare.com",
        "ai-gateway.vercel.sh",
        "api.portkey.ai",
        "ai-gateway.helicone.ai",
        "gateway.helicone.ai",
    ),
    source="docs.helicone.ai/getting-started/integration-method/gateway, Portkey's OpenAPI, users' code; 2026-11-27",
)
