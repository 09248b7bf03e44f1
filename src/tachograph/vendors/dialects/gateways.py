"""Gateways in front of many vendors: the label is that of the vendor whose API is used."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="",
    hosts=("gateway.ai.cloudflare.com", "ai-gateway.vercel.sh", "api.portkey.ai", ".helicone.ai"),
    source="documentation of Cloudflare, Vercel, Portkey and Helicone; 2026-11-27",
)
