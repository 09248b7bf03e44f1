"""Google Cloud: Gemini, its OpenAI endpoint, and other vendors' models."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="vertex",
    hosts=("aiplatform.googleapis.com", ".aiplatform.googleapis.com", "-aiplatform.googleapis.com"),
    reasoning="outside",
    source="cloud.google.com/vertex-ai/generative-ai/docs/multimodal/call-vertex-using-openai-library; 2026-11-27",
)
