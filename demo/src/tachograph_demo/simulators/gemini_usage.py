"""Usage as Gemini words it, in answers and on Live connections."""

from __future__ import annotations

from typing import Any

from .operation import without_none
from .usage import ServedUsage


def usage_metadata(usage: ServedUsage, is_vertex: bool) -> dict[str, Any]:
    """Gemini's own counting: thoughts beside the candidates, tool-use prompt beside the prompt."""
    prompt = usage.prompt - usage.tool_prompt
    candidates = usage.completion - usage.reasoning
    return without_none(
        {
            "promptTokenCount": prompt,
            "cachedContentTokenCount": usage.cache_read or None,
            "candidatesTokenCount": candidates,
            "toolUsePromptTokenCount": usage.tool_prompt or None,
            "thoughtsTokenCount": usage.reasoning or None,
            "totalTokenCount": usage.total,
            "promptTokensDetails": _modalities(prompt, usage.audio_input, usage.image_input),
            "candidatesTokensDetails": _modalities(candidates, usage.audio_output, usage.image_output),
            "cacheTokensDetails": _modalities(usage.cache_read, 0, 0) if usage.cache_read else None,
            "trafficType": "ON_DEMAND" if is_vertex else None,
            "serviceTier": usage.service_tier,
            **usage.extra,
        }
    )


def _modalities(total: int, audio: int, image: int) -> list[dict[str, Any]]:
    counts = {"TEXT": total - audio - image, "AUDIO": audio, "IMAGE": image}
    return [{"modality": name, "tokenCount": count} for name, count in counts.items() if count > 0]
