"""Names of OpenTelemetry's GenAI and MCP conventions, the only place that spells them.

Source: open-telemetry/semantic-conventions-genai, main, as of 2026-11-23 (it has no release yet; the
opentelemetry-semantic-conventions package still holds the names of v1.41).
"""

from __future__ import annotations

from typing import Final

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_PREFIX: Final = "gen_ai.request."
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_DETAILS: Final[dict[str, str]] = {
    "cache_read": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_write.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
    "audio_input": "gen_ai.usage.audio.input_tokens",
    "audio_cache_read": "gen_ai.usage.audio.cache_read.input_tokens",
    "audio_output": "gen_ai.usage.audio.output_tokens",
    "image_input": "gen_ai.usage.image.input_tokens",
    "image_output": "gen_ai.usage.image.output_tokens",
}
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_VERSION: Final = "gen_ai.agent.version"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
USER_ID: Final = "user.id"
ENDUSER_ID: Final = "enduser.id"
AGENT_ID: Final = "gen_ai.agent.id"
SESSION_ID: Final = "session.id"
MODALITY: Final = "gen_ai.token.modality"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
MCP_METHOD_NAME: Final = "mcp.method.name"
MCP_PROTOCOL_VERSION: Final = "mcp.protocol.version"
MCP_SESSION_ID: Final = "mcp.session.id"
RPC_STATUS: Final = "rpc.response.status_code"
NETWORK_TRANSPORT: Final = "network.transport"
NETWORK_PROTOCOL: Final = "network.protocol.name"
OPENAI_API_TYPE: Final = "openai.api.type"
OPENAI_RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
HTTP_STATUS: Final = "http.response.status_code"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
EXCEPTION_ESCAPED: Final = "exception.escaped"

CALL_ID: Final = "tachograph.call_id"
PARENT_CALL_ID: Final = "tachograph.parent_call_id"
OUTCOME: Final = "tachograph.outcome"
ATTEMPTS: Final = "tachograph.attempts"
RATE_LIMIT_WAIT: Final = "tachograph.rate_limit_wait_seconds"
COUNTED: Final = "tachograph.counted"
REQUEST_ID: Final = "tachograph.request_id"
API: Final = "tachograph.api"
SERVICE_TIER: Final = "tachograph.service_tier"
COST_USD: Final = "tachograph.cost.usd"
COST_QUALITY: Final = "tachograph.cost.quality"
PRICE_SOURCE: Final = "tachograph.cost.source"
AUDIO_SECONDS: Final = "tachograph.usage.audio_seconds"
DETAIL_PREFIX: Final = "tachograph.usage.details."
TOOL_USE_PREFIX: Final = "tachograph.usage.tools."
LABEL_PREFIX: Final = "tachograph.label."
RETRY_WAIT: Final = "tachograph.retry_wait_seconds"
COST_DETAIL: Final = "tachograph.cost.detail"
LIST_COST_USD: Final = "tachograph.cost.list_usd"
STATED_COST_USD: Final = "tachograph.cost.stated_usd"
USAGE_MISMATCH: Final = "tachograph.usage.mismatch"
SPEED: Final = "tachograph.speed"
REGION: Final = "tachograph.region"
TRAFFIC_TYPE: Final = "tachograph.traffic_type"
EXECUTION_ID: Final = "tachograph.execution_id"
RUN_CALLS: Final = "tachograph.run.calls"
RUN_TOOL_CALLS: Final = "tachograph.run.tool_calls"
RUN_COST_USD: Final = "tachograph.run.cost_usd"
RUN_ID: Final = "tachograph.run_id"
API_KEY_HINT: Final = "tachograph.api_key_hint"
PARENT_RUN_ID: Final = "tachograph.parent_run_id"
"""Our own names, where OpenTelemetry has none."""

PROVIDERS: Final[dict[str, str]] = {
    "gemini": "gcp.gemini",
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "vertex": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "moonshot": "moonshot_ai",
}
"""Our provider labels where OpenTelemetry's word is another; the rest are the same."""


def provider_name(provider: str, server_address: str | None) -> str:
    """OpenTelemetry's word for a provider; Google's depends on whose endpoint answered."""
    if provider == "gemini" and server_address and "aiplatform" in server_address:
        return "gcp.vertex_ai"
    return PROVIDERS.get(provider, provider)
