"""Watching the together client (2.x and later), which is made like openai's and uses its API.

Version 1 is made otherwise; its requests are seen on the wire.
"""

from __future__ import annotations

from functools import partial

from tachograph.instrument import openai, stainless


def install() -> None:
    """Hook the client, now or once it is imported."""
    stainless.install("together", partial(stainless.begin, find=partial(openai.find, label="together")))
