"""Anthropic's APIs by method and path: how each is read."""

from __future__ import annotations

import re
from typing import Final

from tachograph.vendors.anthropic.messages import (
    BatchResults,
    MessageEvents,
    message_content,
    message_tokens,
    read_message,
    read_nothing,
)
from tachograph.vendors.anthropic.requests import request_facts, said
from tachograph.vendors.api import Api

MESSAGES: Final = Api(
    "anthropic",
    "messages",
    "chat",
    read_message,
    MessageEvents,
    facts=request_facts,
    tokens=message_tokens,
    input_content=said,
    output_content=message_content,
)
ROUTES: Final[dict[tuple[str, str], Api]] = {
    ("post", "/v1/messages"): MESSAGES,
    ("post", "/v1/messages/count_tokens"): Api(
        "anthropic", "token_count", "count_tokens", read_nothing, counts_usage=False, facts=request_facts
    ),
    ("post", "/v1/messages/batches"): Api(
        "anthropic", "batches", "create_batch", read_nothing, counts_usage=False, facts=request_facts
    ),
    ("post", "/v1/complete"): Api(
        "anthropic", "completions", "text_completion", read_nothing, facts=request_facts, input_content=said
    ),
}
"""What is watched, by method and path."""

_RESULTS: Final = Api("anthropic", "batches", "fetch_response", read_nothing, BatchResults)
RESULTS_PATH: Final = re.compile(r".*/v1/messages/batches/(?P<id>[^/]+)/results")


def route(method: str, url: str) -> tuple[Api | None, str | None]:
    """The API behind a method and a path of the client, and the id in the path, if there is one.

    Args:
        method: In either case.
        url: As given to the client: a path, with or without its first slash, or a whole URL.
    """
    path = url.partition("?")[0]
    if not path.startswith("/"):
        path = f"/{path}"
        path = path[max(path.rfind("/v1/"), 0) :]
    method = method.lower()
    api = ROUTES.get((method, path.rstrip("/")))
    if api is None and method == "get" and path.endswith("/results"):
        found = RESULTS_PATH.fullmatch(path)
        if found:
            return _RESULTS, found["id"]
    return api, None
