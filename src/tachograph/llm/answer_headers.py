"""What the headers of an answer say: the request's id, what a gateway did, Gemini's service tier, and how much is left
of the rate limits.

The engine and the watched clients read them here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tachograph.llm import headroom
from tachograph.vendors import gateways

if TYPE_CHECKING:
    from tachograph.recorder import Recorder
    from tachograph.records import Attempt, LLMCall

_SERVICE_TIER: Final = "x-gemini-service-tier"
_SERVICE_TIER_SENT: Final = _SERVICE_TIER.encode()
REQUEST_ID_HEADERS: Final = ("x-request-id", "request-id", "x-goog-request-id")


def note_answer(recorder: Recorder, call: LLMCall, attempt: Attempt, headers: Any) -> None:
    """Take what the headers of an answer say: the request's id, and how much is left of the rate limits.

    One look-up in httpx's headers costs one to two microseconds, so they are looked through as bytes.
    """
    raw = getattr(headers, "raw", None)
    if type(raw) is not list:
        _note_other_headers(recorder, call, attempt, headers)
        return
    known = dict(raw)
    names = b" ".join(known).lower()
    if b"request-id" in names:
        found = known.get(b"x-request-id") or known.get(b"request-id") or _request_id(known)
        if found:
            call.request_id = attempt.request_id = found.decode("latin-1")
    if gateways.are_of_a_gateway(names) and attempt.status is not None and attempt.status < 400:
        lower = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in known.items()}
        gateways.note_gateway(call, lower.get)
    if _SERVICE_TIER_SENT in names:
        call.service_tier = headers.get(_SERVICE_TIER) or call.service_tier
    if b"ratelimit" in names:
        recorder.metrics.part(headroom.Headroom).keep(call.provider, call.model, known)


def _request_id(raw: dict[bytes, bytes]) -> bytes | None:
    lower = {name.lower(): value for name, value in raw.items()}
    return next((lower[name] for name in _IDS if lower.get(name)), None)


_IDS: Final = tuple(name.encode() for name in REQUEST_ID_HEADERS)


def _note_other_headers(recorder: Recorder, call: LLMCall, attempt: Attempt, headers: Any) -> None:
    """The same, of another library's headers: a mapping that ignores case."""
    for name in REQUEST_ID_HEADERS:
        request_id = headers.get(name)
        if request_id:
            call.request_id = attempt.request_id = request_id
            break
    call.service_tier = headers.get(_SERVICE_TIER) or call.service_tier
    if attempt.status is not None and attempt.status < 400:
        gateways.note_gateway(call, headers.get)
    headroom.note_headers(recorder, call.provider, call.model, headers)
