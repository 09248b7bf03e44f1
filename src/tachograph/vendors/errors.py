"""The category of a failure, by its vendor's table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tachograph.vendors.anthropic.errors import anthropic_failure
from tachograph.vendors.bedrock.errors import bedrock_failure
from tachograph.vendors.failures import Failure
from tachograph.vendors.gemini.errors import gemini_failure
from tachograph.vendors.openai.errors import openai_failure

_FAILURE_OF: Final[dict[str, Callable[..., Failure]]] = {
    "openai": openai_failure,
    "anthropic": anthropic_failure,
    "gemini": gemini_failure,
    "bedrock": bedrock_failure,
}


def failure_of(
    vendor: str,
    *,
    status: int | None = None,
    headers: object = None,
    body: object = None,
    error: BaseException | None = None,
) -> Failure:
    """Categorise one failure by its vendor's table.

    Args:
        vendor: Whose wire language it is: `openai` (also for compatible servers), `anthropic`, `gemini` or `bedrock`.
            Others are read as `openai`.
        status, headers, body: Of the answer, as far as known; the body parsed, as text, or as bytes.
        error: What the SDK raised, if it raised.
    """
    read: Callable[..., Failure] = _FAILURE_OF.get(vendor) or openai_failure
    return read(status=status, headers=headers, body=body, error=error)
