"""The matrix of what is watched: SDK x API x mode x way x case, as data; the test walks it, the docs page shows it.

`PYTHONPATH=src:tests python -m support.matrix` writes docs/instrument-matrix.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

Mode = Literal["whole", "stream", "helper", "parse", "raw", "raw stream"]
Way = Literal["sync", "async"]
Case = Literal["success", "hidden retry", "error", "early close", "cancel"]

MODES: tuple[Mode, ...] = ("whole", "stream", "helper", "parse", "raw", "raw stream")
WAYS: tuple[Way, ...] = ("sync", "async")
CASES: tuple[Case, ...] = ("success", "hidden retry", "error", "early close", "cancel")
STREAMED = ("stream", "helper", "raw stream")

ASKED: Any = [{"role": "user", "content": "hello"}]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "instrument-matrix.md"


@dataclass(frozen=True, slots=True)
class Row:
    """One API of one SDK.

    Attributes:
        sdk, api: Names for the page.
        client: Which client: `openai`, `azure`, `anthropic`, `gemini`.
        call: How to call it in each mode; the same for sync and async clients.
        reports_usage: Whether the vendor reports tokens for it.
    """

    sdk: str
    api: str
    client: str
    call: dict[Mode, Callable[[Any], Any]] = field(default_factory=dict)
    reports_usage: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing to see work."""

    row: Row
    mode: Mode
    way: Way
    case: Case

    def __str__(self) -> str:
        return f"{self.row.sdk}-{self.row.api}-{self.mode}-{self.way}-{self.case}".replace(" ", "_")


_USAGE: Any = {"stream_options": {"include_usage": True}}
_CHAT: Any = {"model": "gpt-5", "messages": ASKED}
_MESSAGE: Any = {"model": "claude-opus-4-8", "max_tokens": 64, "messages": ASKED}
_RESPONSE: Any = {"model": "gpt-5", "input": "hello"}
_GEMINI: Any = {"model": "gemini-2.5-flash", "contents": "hello"}
_INTERACTION: Any = {"model": "gemini-2.5-flash", "input": "hello"}


def _chat_modes() -> dict[Mode, Callable[[Any], Any]]:
    return {
        "whole": lambda client: client.chat.completions.create(**_CHAT),
        "stream": lambda client: client.chat.completions.create(**_CHAT, stream=True),
        "helper": lambda client: client.chat.completions.stream(**_CHAT),
        "parse": lambda client: client.chat.completions.parse(**_CHAT),
        "raw": lambda client: client.chat.completions.with_raw_response.create(**_CHAT),
        "raw stream": lambda client: client.chat.completions.with_streaming_response.create(
            **_CHAT, stream=True, **_USAGE
        ),
    }


ROWS = (
    Row("openai", "chat completions", "openai", _chat_modes()),
    Row("openai", "chat completions, Azure", "azure", _chat_modes()),
    Row(
        "openai",
        "responses",
        "openai",
        {
            "whole": lambda client: client.responses.create(**_RESPONSE),
            "stream": lambda client: client.responses.create(**_RESPONSE, stream=True),
            "helper": lambda client: client.responses.stream(**_RESPONSE),
            "parse": lambda client: client.responses.parse(**_RESPONSE),
            "raw": lambda client: client.responses.with_raw_response.create(**_RESPONSE),
            "raw stream": lambda client: client.responses.with_streaming_response.create(**_RESPONSE, stream=True),
        },
    ),
    Row(
        "openai",
        "embeddings",
        "openai",
        {
            "whole": lambda client: client.embeddings.create(model="text-embedding-3-small", input="hello"),
            "raw": lambda client: client.embeddings.with_raw_response.create(
                model="text-embedding-3-small", input="hello"
            ),
        },
    ),
    Row(
        "openai",
        "images",
        "openai",
        {"whole": lambda client: client.images.generate(model="gpt-image-1", prompt="a cat")},
    ),
    Row(
        "openai",
        "transcriptions",
        "openai",
        {
            "whole": lambda client: client.audio.transcriptions.create(
                model="gpt-4o-transcribe", file=("a.wav", b"RIFF")
            ),
        },
    ),
    Row(
        "openai",
        "speech",
        "openai",
        {"whole": lambda client: client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="hi")},
        reports_usage=False,
    ),
    Row(
        "openai",
        "moderations",
        "openai",
        {"whole": lambda client: client.moderations.create(input="hello")},
        reports_usage=False,
    ),
    Row(
        "anthropic",
        "messages",
        "anthropic",
        {
            "whole": lambda client: client.messages.create(**_MESSAGE),
            "stream": lambda client: client.messages.create(**_MESSAGE, stream=True),
            "helper": lambda client: client.messages.stream(**_MESSAGE),
            "parse": lambda client: client.messages.parse(**_MESSAGE),
            "raw": lambda client: client.messages.with_raw_response.create(**_MESSAGE),
            "raw stream": lambda client: client.messages.with_streaming_response.create(**_MESSAGE, stream=True),
        },
    ),
    Row(
        "anthropic",
        "beta messages",
        "anthropic",
        {
            "whole": lambda client: client.beta.messages.create(**_MESSAGE),
            "stream": lambda client: client.beta.messages.create(**_MESSAGE, stream=True),
            "helper": lambda client: client.beta.messages.stream(**_MESSAGE),
            "raw": lambda client: client.beta.messages.with_raw_response.create(**_MESSAGE),
        },
    ),
    Row(
        "anthropic",
        "count_tokens",
        "anthropic",
        {"whole": lambda client: client.messages.count_tokens(model="claude-opus-4-8", messages=ASKED)},
        reports_usage=False,
    ),
    Row(
        "google-genai",
        "generate_content",
        "gemini",
        {
            "whole": lambda client: client.models.generate_content(**_GEMINI),
            "stream": lambda client: client.models.generate_content_stream(**_GEMINI),
        },
    ),
    Row(
        "google-genai",
        "chats",
        "gemini",
        {
            "whole": lambda client: client.chats.create(model="gemini-2.5-flash").send_message("hello"),
            "stream": lambda client: client.chats.create(model="gemini-2.5-flash").send_message_stream("hello"),
        },
    ),
    Row(
        "google-genai",
        "embed_content",
        "gemini",
        {"whole": lambda client: client.models.embed_content(model="gemini-embedding-001", contents="hello")},
    ),
    Row(
        "google-genai",
        "interactions",
        "gemini",
        {
            "whole": lambda client: client.interactions.create(**_INTERACTION),
            "stream": lambda client: client.interactions.create(**_INTERACTION, stream=True),
        },
    ),
    Row(
        "google-genai",
        "count_tokens",
        "gemini",
        {"whole": lambda client: client.models.count_tokens(**_GEMINI)},
        reports_usage=False,
    ),
)


def applies(mode: Mode, way: Way, case: Case) -> bool:
    """Whether a case can happen: only streams close early, only tasks are cancelled."""
    if case == "early close":
        return mode in STREAMED
    return case != "cancel" or way == "async"


def cells() -> Iterator[Cell]:
    """Every cell of the matrix."""
    for row in ROWS:
        for mode in row.call:
            for way in WAYS:
                for case in CASES:
                    if applies(mode, way, case):
                        yield Cell(row, mode, way, case)


NOT_SEEN: Final = (
    # client, what, and a request of it that is not watched
    ("openai", "agent sessions (beta)", "post", "/agents/sessions"),
    ("openai", "agents' automations (beta)", "post", "/agents/automations/a/invocations"),
    ("openai", "ChatKit sessions (beta)", "post", "/chatkit/sessions"),
    ("openai", "containers that are made by themselves (those that answers name are seen)", "post", "/containers"),
    ("openai", "graders that are run by themselves (`fine_tuning.alpha`)", "post", "/fine_tuning/alpha/graders/run"),
    ("openai", "Realtime sessions over WebRTC or by telephone", "post", "/realtime/calls"),
    ("openai", "Realtime sessions of browsers with a key for them", "post", "/realtime/client_secrets"),
    ("anthropic", "agent sessions (beta)", "post", "/v1/sessions"),
    ("anthropic", "runs of deployments (beta)", "post", "/v1/deployments/d/run"),
    ("anthropic", "dreams (beta)", "post", "/v1/dreams"),
)
"""Requests that cost tokens or fees and are not watched. One that is watched some day fails its test here."""


def page() -> str:
    """The matrix as a page of the docs."""
    lines = [
        "# What is watched",
        "",
        "Every cell is one run of the real SDK against our simulators, and a test"
        " (`tests/instrument/test_matrix.py`); this page is made from the same data by"
        " `python -m support.matrix`. **S**: sync client, **A**: async client. A dash stands where a case cannot"
        " happen: only streams close early, and only tasks are cancelled.",
        "",
        "Each run leaves exactly one record. *Success*: tokens are those on the wire. *Hidden retry*: both attempts and"
        " the wait between them are there. *Error*: the category is right and the exception is the SDK's own. *Early"
        " close* and *cancel*: the outcome is `cancelled`, which is not an error.",
        "",
        "| SDK | API | mode | " + " | ".join(CASES) + " |",
        "|---|---|---|" + "---|" * len(CASES),
    ]
    for row in ROWS:
        for mode in row.call:
            marks = []
            for case in CASES:
                ways = [way[0].upper() for way in WAYS if applies(mode, way, case)]
                marks.append(" ".join(ways) or "-")
            lines.append(f"| {row.sdk} | {row.api} | {mode} | " + " | ".join(marks) + " |")
    lines += [
        "",
        "Modes: *whole* `create()` and its like; *stream* `stream=True`; *helper* the SDK's `.stream()` context"
        " manager; *parse* `.parse()`; *raw* `.with_raw_response`;"
        " *raw stream* `.with_streaming_response`, read as bytes.",
        "",
        "## Not seen",
        "",
        "These cost tokens or fees, and no call of them is recorded:",
        "",
        *(f"- {client}: {what}" for client, what, *_ in NOT_SEEN),
        "- openai: what files of a vector store are stored for (its creation and its searches are seen)",
        "- openai: live sessions (`client.live`, audio over WebRTC)",
        "- google-genai: what cached contents are stored for (`caches`; what is read from them is seen)",
        "- google-genai: fine-tuning (`tunings`), files of a file search store (`file_search_stores`), `segment_image`",
        "- google-genai: answers of a batch that are written to a file or a bucket (those in the job are seen)",
        "",
        f"{sum(1 for _ in cells())} cells. MCP is in `tests/instrument/test_mcp*.py` and `test_fastmcp.py`: in process,"
        " over JSON-RPC and over streamable HTTP; success, error results, refused requests, time-outs, cancellation,"
        " and a server that exits.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
