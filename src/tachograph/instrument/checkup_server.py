"""The server that `tachograph doctor` asks through the clients it finds: it refuses once, then answers.

It answers one request of each vendor and nothing more; `tachograph_demo.simulators` answers them all.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

PROMPT_TOKENS: Final = 12
COMPLETION_TOKENS: Final = 3
_REFUSED: Final = {
    "error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "type": "rate_limit_error", "message": "slow"}
}
_ANSWERS: Final[dict[str, object]] = {
    "/chat/completions": {
        "id": "chatcmpl-doctor",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-5",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes.", "refusal": None}}
        ],
        "usage": {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": COMPLETION_TOKENS,
            "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
        },
    },
    "/messages": {
        "id": "msg_doctor",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-8",
        "content": [{"type": "text", "text": "Yes."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": COMPLETION_TOKENS},
    },
    ":generateContent": {
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": "Yes."}]}}],
        "modelVersion": "gemini-2.5-flash",
        "usageMetadata": {
            "promptTokenCount": PROMPT_TOKENS,
            "candidatesTokenCount": COMPLETION_TOKENS,
            "totalTokenCount": PROMPT_TOKENS + COMPLETION_TOKENS,
        },
    },
}
"""The end of a path to the answer, in the words of the vendors' API references, read 2026-11-27."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    has_refused = False


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  # no code sets another
    protocol_version = "HTTP/1.1"
    timeout = 15.0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.has_refused:
            path = self.path.partition("?")[0]
            answer = next((answer for end, answer in _ANSWERS.items() if path.endswith(end)), None)
            self._send(404 if answer is None else 200, answer)
        else:
            self.server.has_refused = True
            self._send(429, _REFUSED)

    def _send(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After-Ms", "50")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The doctor reports what it finds; nothing goes to stderr from here."""


@contextmanager
def serving() -> Iterator[str]:
    """Serve on loopback for a while; gives the address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="tachograph-doctor", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
