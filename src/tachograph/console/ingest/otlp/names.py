"""What senders call things: the attributes of a call in the words of each convention, the newest first.

| convention | how its spans are known | checked |
|---|---|---|
| OpenTelemetry's, three generations: up to 1.36, 1.37 to 1.41, the GenAI repository | `gen_ai.*` | 2026-11-23 |
| OpenLLMetry's (Traceloop) | `traceloop.*`, `llm.request.type`, `gen_ai.usage.*_input_tokens` | npm 0.27, 2026-11-27 |
| OpenInference's (Arize) | `openinference.span.kind`, `llm.*` | github.com/Arize-ai/openinference, 2026-11-27 |
| LiteLLM's | OpenTelemetry's, with a second span for the same call | docs.litellm.ai, 2026-11-27 |
| Vercel's AI SDK | `ai.*`, beside OpenTelemetry's up to 1.36; a span around each | npm ai 5.0, 2026-11-27 |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tachograph.signals import semconv as s

PROVIDER: Final = (s.PROVIDER_NAME, "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider")
REQUEST_MODEL: Final = (
    *(s.REQUEST_MODEL, "model", "llm.model_name", "embedding.model_name", "ai.model.id"),
    s.RESPONSE_MODEL,
)
RESPONSE_ID: Final = (s.RESPONSE_ID,)
INPUT: Final = (
    s.USAGE_INPUT_TOKENS,
    "gen_ai.usage.prompt_tokens",
    "prompt_tokens",
    "llm.token_count.prompt",
    "ai.usage.tokens",
)
OUTPUT: Final = (
    s.USAGE_OUTPUT_TOKENS,
    "gen_ai.usage.completion_tokens",
    "completion_tokens",
    "llm.token_count.completion",
)
DETAILS: Final = {
    **{detail: (name,) for detail, name in s.USAGE_DETAILS.items()},
    "cache_read": (
        s.USAGE_DETAILS["cache_read"],
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cached_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.cachedInputTokens",
    ),
    "cache_write": (
        s.USAGE_DETAILS["cache_write"],
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning": (
        s.USAGE_DETAILS["reasoning"],
        "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "ai.usage.reasoningTokens",
    ),
    "audio_input": (s.USAGE_DETAILS["audio_input"], "llm.token_count.prompt_details.audio"),
    "audio_output": (s.USAGE_DETAILS["audio_output"], "llm.token_count.completion_details.audio"),
}
PRICED_BY: Final = {"cached tokens": DETAILS["cache_read"]}
"""What a price depends on beside tokens and model; a sender that does not say it leaves the cost an estimate."""
ESTIMATED_COST_USD: Final = "tachograph.sender.cost_usd"
"""Of an event: what the call cost by the sender's price."""
SESSION: Final = (
    s.SESSION_ID,
    s.CONVERSATION_ID,
    "traceloop.association.properties.session_id",
    "ai.telemetry.metadata.sessionId",
)
USER: Final = (
    s.USER_ID,
    s.ENDUSER_ID,
    "traceloop.association.properties.user_id",
    "ai.telemetry.metadata.userId",
)
AGENT: Final = (s.AGENT_NAME, "tachograph.agent", s.AGENT_ID)
TOOL_SERVER: Final = ("server_id", "mcp.server.name", s.SERVER_ADDRESS)
TOOL: Final = ("tool_name", s.TOOL_NAME, "mcp.tool.name", "tool.name", "traceloop.entity.name", "ai.toolCall.name")
STREAMS: Final = ".doStream"
"""How Vercel's operations end that stream."""
FIRST_CHUNK_MS: Final = "ai.response.msToFirstChunk"
IS_STREAM: Final = (s.REQUEST_STREAM, "llm.is_streaming", "gen_ai.is_streaming")
CONTENT: Final = {
    "input": (s.INPUT_MESSAGES, "gen_ai.prompt", "input.value"),
    "output": (s.OUTPUT_MESSAGES, "gen_ai.completion", "output.value"),
    "arguments": (s.TOOL_CALL_ARGUMENTS,),
    "result": (s.TOOL_CALL_RESULT,),
}

_SYSTEMS: Final = {
    **{theirs: ours for ours, theirs in s.PROVIDERS.items()},
    "gcp.vertex_ai": "gemini",
    "gcp.gen_ai": "gemini",
    "vertex_ai": "gemini",
    "vertexai": "gemini",
    "google": "gemini",
    "google_genai": "gemini",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "azure.ai.inference": "azure",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "amazon-bedrock": "bedrock",
    "aws": "bedrock",
    "bedrock_converse": "bedrock",
    "mistralai": "mistral",
    "xai": "xai",
}


def provider_of(word: str) -> str:
    """Our label of a provider, from a sender's word for it."""
    word = word.lower()
    vendor, _, api = word.partition(".")
    return _SYSTEMS.get(vendor, vendor) if api in _APIS else _SYSTEMS.get(word, word)


_APIS: Final = frozenset(
    (
        *("chat", "completion", "responses", "messages", "embedding", "textembedding", "image", "speech"),
        *("transcription", "generative-ai", "vertex", "vertex.chat", "vertex.embedding"),
    )
)
"""What Vercel's AI SDK appends to a vendor's name (`openai.responses`). Source: its provider packages, 2026-11-27."""


_NOT_CALLS: Final = frozenset({"invoke_agent", "create_agent", "invoke_workflow", "plan", "retrieval"})
_KINDS: Final = {"LLM": "chat", "EMBEDDING": "embeddings", "TOOL": "execute_tool"}
"""Span kinds of OpenInference that are calls; its others (CHAIN, AGENT, RETRIEVER, ...) are not."""
_VERCEL: Final = {
    ".doGenerate": "chat",
    STREAMS: "chat",
    ".doEmbed": "embeddings",
    "ai.toolCall": "execute_tool",
}
"""How the operations of Vercel's AI SDK end that are calls; its others are around these."""
_AROUND_CALLS: Final = frozenset({"workflow", "task", "agent"})
"""Span kinds of OpenLLMetry that are no calls."""
_SAME_CALL_AGAIN: Final = frozenset({"raw_gen_ai_request"})
"""LiteLLM's second span for one call: the vendor's own words for what the first says."""


def operation_of(name: str, found: Mapping[str, Any], is_server: bool) -> str:
    """The operation of a span that is an LLM call, `execute_tool` of one that is a tool call, "" of any other."""
    operation = str(found.get(s.OPERATION_NAME) or "")
    if operation == "execute_tool" or (found.get(s.MCP_METHOD_NAME) == "tools/call" and not is_server):
        return "execute_tool"
    vercels = str(found.get("ai.operationId") or "")
    if vercels:
        return next((ours for end, ours in _VERCEL.items() if vercels.endswith(end)), "")
    kind = found.get("openinference.span.kind")
    if kind:
        return _KINDS.get(str(kind).upper(), "")
    kind = found.get("traceloop.span.kind")
    if kind == "tool":
        return "execute_tool"
    if (
        is_server
        or kind in _AROUND_CALLS
        or name in _SAME_CALL_AGAIN
        or operation in _NOT_CALLS
        or operation.endswith(("_memory", "_memory_store"))
    ):
        return ""
    operation = operation or str(found.get("llm.request.type") or "")
    if operation:
        return operation
    has_model = found.get(s.REQUEST_MODEL) or found.get(s.RESPONSE_MODEL)
    return "chat" if has_model and (found.get(s.PROVIDER_NAME) or found.get("gen_ai.system")) else ""
