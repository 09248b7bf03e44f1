"""A FastAPI service that streams, under several workers, with one /metrics for all of them.

    export TACHOGRAPH_METRICS_MULTIPROCESS_DIR=$(mktemp -d)
    python examples/simulated.py -m tachograph run -- python -m uvicorn --app-dir examples service:app --workers 2

Then: curl -N 'http://127.0.0.1:8000/chat?q=hello' and curl http://127.0.0.1:8000/metrics
There is no line about watching in here: `tachograph run` does it, in every worker.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import openai
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

import tachograph

app = FastAPI()
app.mount("/metrics", tachograph.metrics_asgi_app())
client = openai.AsyncOpenAI()


@app.get("/chat")
async def chat(q: str) -> StreamingResponse:
    """Stream an answer as it comes. A reader who leaves early is a cancelled call, not an error."""

    async def pieces() -> AsyncIterator[str]:
        with tachograph.labels(feature="chat"):
            stream = await client.chat.completions.create(
                model="gpt-5", messages=[{"role": "user", "content": q}], stream=True
            )
        async with stream:
            async for chunk in stream:
                yield chunk.choices[0].delta.content or ""

    return StreamingResponse(pieces(), media_type="text/plain", headers={"x-worker": str(os.getpid())})
