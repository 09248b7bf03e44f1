"""How far a cost is to be trusted, and why: `priced` has to be earned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tachograph.pricing.dimensions import is_local, serves_own_models
from tachograph.records.cost import Cost

if TYPE_CHECKING:
    from tachograph.pricing.dimensions import Served
    from tachograph.records.llm_call import LLMCall

_MOST: Final = 300
"""Characters of a detail: names come from outside."""


def cost_of(nano_usd: int, source: str, doubts: tuple[str, ...]) -> Cost:
    """A cost by our prices: `priced` when nothing about it is in doubt."""
    if not doubts:
        return Cost(nano_usd, "priced", source)
    return Cost(nano_usd, "estimated", source, detail(doubts))


def unpriced(doubts: tuple[str, ...]) -> Cost:
    """No price: unknown, which is not zero."""
    return Cost(None, "unpriced", "", detail(doubts))


def no_price(served: Served) -> str:
    """Why a call has no price: what was looked up, or why nothing was."""
    models = " or ".join(served.models) or "a call without a model's name"
    host = f" at {served.host}" if served.host else ""
    is_own = serves_own_models(served.label, served.host, served.port) or is_local(served.host)
    why = ", a server of your own: only your price file can have one" if is_own else ""
    return f"no price for {models} of {served.label}{host}{why}"


def detail(doubts: tuple[str, ...]) -> str:
    """What is not known, as one line."""
    return "; ".join(dict.fromkeys(doubts))[:_MOST]


def doubts_about(call: LLMCall) -> tuple[str, ...]:
    """What a call's own record leaves open: unknown items, and an answer that was cut."""
    unknown = call.unknown_billables
    was_cut = call.stream and (call.outcome == "cancelled" or (call.outcome != "success" and not call.finish_reason))
    if not unknown and not was_cut and call.usage_mismatch is None:
        return ()
    doubts = [f"unknown item or field {name!r}" for name in unknown]
    if call.usage_mismatch is not None:
        doubts.append(f"the usage report contradicts itself ({call.usage_mismatch})")
    if was_cut:
        how = "closed early" if call.outcome == "cancelled" else "cut"
        doubts.append(f"the stream was {how}: what followed its last report is not in it")
    return tuple(doubts)
