"""Requests on the wire: which API of which vendor a method and a path belong to.

The paths of the vendors differ, so the path alone gives the API; the host only decides whether to look
(`dialects`). One host may serve several: Vertex, Bedrock, OpenRouter, xAI do.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote

from tachograph.vendors.anthropic import apis as anthropic
from tachograph.vendors.api import Api
from tachograph.vendors.bedrock import apis as bedrock
from tachograph.vendors.cohere import apis as cohere
from tachograph.vendors.gemini import rest as gemini
from tachograph.vendors.ollama import apis as ollama
from tachograph.vendors.openai import apis as openai


class WireRoute(NamedTuple):
    """Where a request goes.

    Attributes:
        api: How its answer is read.
        model: As the path gives it; empty where the body does.
        stream: Whether the path says that the answer streams; None where the body does.
        stored_id: Of the batch whose results are read.
    """

    api: Api
    model: str = ""
    stream: bool | None = None
    stored_id: str | None = None


_DEPLOYMENT: Final = re.compile(r".*/(?:deployments|engines)/(?P<model>[^/]+)/")
_OTHERS_ON_VERTEX: Final = re.compile(r".*/publishers/(?P<publisher>[^/]+)/models/(?P<model>[^/:]+):(?P<method>\w+)")
_RAW: Final = {"rawPredict": False, "streamRawPredict": True}


@lru_cache(maxsize=512)
def route(method: str, path: str) -> WireRoute | None:
    """The API behind a request, or None when it is not watched.

    Args:
        method: In either case.
        path: Without host and query; it may be escaped.
    """
    method, path = method.lower(), unquote(path.partition("?")[0])
    if method == "post":
        exact = ollama.ROUTES.get(path) or cohere.ROUTES.get(path)
        if exact is not None:
            return WireRoute(exact)
    told = gemini.route(method, path) or (bedrock.route(path) if method == "post" else None)
    if told is not None:
        return WireRoute(*told)
    if method == "post":
        other = _OTHERS_ON_VERTEX.fullmatch(path)
        if other is not None and other["method"] in _RAW and other["model"] != "count-tokens":
            told_by = anthropic.MESSAGES if other["publisher"] == "anthropic" else openai.CHAT  # Mistral's, AI21's
            return WireRoute(told_by, other["model"], _RAW[other["method"]])
        if path.endswith("/agents/completions"):  # Mistral's agents
            return WireRoute(openai.CHAT)
    place = path.find("/v1/messages")
    if place >= 0:
        api, stored_id = anthropic.route(method, path[place:])
        return None if api is None else WireRoute(api, stored_id=stored_id)
    found = openai.route(method, f"https://host{path}")
    if found is None:
        return None
    deployment = _DEPLOYMENT.match(path)
    return WireRoute(found, "" if deployment is None else deployment["model"])
