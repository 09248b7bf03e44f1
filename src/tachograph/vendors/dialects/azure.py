"""OpenAI's and others' models on Azure."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="azure",
    hosts=(".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"),
    stream_usage="on_request",
    source="learn.microsoft.com/azure/ai-foundry/openai/reference; 2026-11-27",
)
