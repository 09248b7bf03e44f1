"""OpenLIT, content off, with a price list: its own stands on a server that a benchmark should not depend on."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

# US dollars for 1,000 tokens: prompt, completion, read from a cache, written to one; as genai-prices has them
PRICES = {
    "gpt-5": (0.00125, 0.01, 0.000125, 0.0),
    "gpt-5-mini": (0.00025, 0.002, 0.000025, 0.0),
    "gpt-4o-audio-preview": (0.0025, 0.01, 0.0025, 0.0),
    "claude-haiku-4-5": (0.001, 0.005, 0.0001, 0.00125),
    "gemini-2.5-flash": (0.0003, 0.0025, 0.00003, 0.0),
    "deepseek-chat": (0.000135, 0.00055, 0.000035, 0.0),
}


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    emitted.make_global()
    instrument_again(requests_too=emitted.kept)


def instrument_again(*, requests_too: bool = True) -> None:
    """Switch it on; HTTP requests are watched where retries are asked for, not where the cost of a call is."""
    import openlit

    chat = {
        model: {
            "promptPrice": prompt,
            "completionPrice": completion,
            "cacheReadPrice": read,
            "cacheCreationPrice": written,
        }
        for model, (prompt, completion, read, written) in PRICES.items()
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"chat": chat, "embeddings": {"text-embedding-3-small": 0.00002}}, file)
        file.flush()
        openlit.init(
            capture_message_content=False,
            collect_gpu_stats=False,
            pricing_json=file.name,
            disabled_instrumentors=None
            if requests_too
            else ["httpx", "requests", "urllib3", "urllib", "aiohttp-client"],
        )
    if requests_too:
        from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

        HTTPX2ClientInstrumentor().instrument()
