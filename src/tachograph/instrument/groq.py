"""Watching the groq client (1.x), which is made like openai's and uses its API."""

from __future__ import annotations

from functools import partial

from tachograph.instrument import openai, stainless


def install() -> None:
    """Hook the client, now or once it is imported."""
    stainless.install("groq", partial(stainless.begin, find=partial(openai.find, label="groq")))
