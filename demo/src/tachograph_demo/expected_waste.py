"""What of the simulators' answers was wasted, judged by what they know: who had asked what before, what the cache held,
which tool the model had wanted, and who was gone.

Nothing here shares code with `tachograph.usage.waste`: requests are compared by their bytes, caches by what the
simulator had in its own, loops by what it answered. Only the definitions of tools are not exact: no vendor says how
many tokens they took, so tachograph takes their share of the prompt's length, and the comparison allows for that.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from dataclasses import replace
from typing import Any, Final

from tachograph.settings.waste import WasteSettings

from .jobs import FAQ
from .simulators import Exchange, Served, ServedUsage
from .simulators.operation import json_bytes
from .simulators.prices import cost_nano_usd
from .simulators.seeded import prompt_tokens

WASTE: Final = WasteSettings(prompts=True)
"""As the demo looks for waste."""
DEFINITIONS_TOLERANCE: Final = 0.15
"""How far a share of the length may be from a share of the tokens."""
_CACHE_SECONDS: Final = 300
_ORDER_SECONDS: Final = 10.0
"""What is closer in time than this may have come to tachograph in another order than to the vendor."""
Waste = dict[tuple[str, str, str], int]
"""Nano-dollars by provider, model and cause."""


class ExpectedWaste:
    """Watches every exchange end.

    Args:
        served: The ledger of truth.
    """

    def __init__(self, served: Served) -> None:
        self._lock = threading.Lock()
        self._waste: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._answered: dict[tuple[str, str, str], float] = {}
        self._hits: dict[tuple[str, int], tuple[int, float, float]] = {}
        self._asked: dict[tuple[str, str, int], dict[int, str]] = {}
        self._definitions: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._used: set[tuple[str, str, str]] = set()
        self._unsure: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        served.on_end(self._judge)

    def sums(self) -> Waste:
        """Nano-dollars by provider, model and cause; `again` is what is `retried` or `duplicate`."""
        with self._lock:
            return {key: nano for key, nano in self._waste.items() if nano}

    def unsure(self) -> Waste:
        """What may be wasted besides, depending on which of two calls at about the same time was first."""
        with self._lock:
            return {key: nano for key, nano in self._unsure.items() if nano}

    def _judge(self, exchange: Exchange) -> None:
        if exchange.usage is None or not exchange.usage.total:
            return
        with self._lock:
            for cause, nano in self._find(exchange, exchange.usage).items():
                self._waste[exchange.vendor, exchange.model, cause] += nano

    def _find(self, exchange: Exchange, usage: ServedUsage) -> dict[str, int]:
        whole = _cost(exchange, usage)
        if not exchange.is_success:
            return {"aborted" if exchange.client_gone else "failed": whole}
        parts = {
            "cache_miss": self._missed(exchange, usage),
            "tool_definitions": self._never_used(exchange, usage),
        }
        key = (exchange.vendor, exchange.path, exchange.body_hash)
        before = self._answered.get(key, -math.inf)
        self._answered[key] = exchange.ended or 0.0
        if self._is_loop(exchange):
            return {"loop": whole}
        age = exchange.started - before
        if age < WASTE.duplicate_seconds:
            if _is_asked_at_once(exchange.body):
                return {"again": whole}
            return {"retried" if age < WASTE.retry_seconds else "duplicate": whole}
        return parts

    def _is_loop(self, exchange: Exchange) -> bool:
        """Whether the model had wanted the same from the same tool often enough when this request came."""
        asked = self._asked.setdefault((exchange.vendor, exchange.model, exchange.conversation), {})
        so_far = [call for at, call in sorted(asked.items()) if at < exchange.tool_results]
        for call in exchange.tool_calls:
            asked[exchange.tool_results] = f"{call.name} {sorted(call.arguments.items())}"
        return bool(so_far) and so_far.count(so_far[-1]) >= WASTE.loop_calls

    def _missed(self, exchange: Exchange, usage: ServedUsage) -> int:
        """What the tokens of a prefix cost more that had been read from the cache before."""
        if exchange.prefix is None:
            return 0
        key = (exchange.vendor, exchange.prefix)
        ended = exchange.ended or 0.0
        tokens, first, last = self._hits.get(key, (0, ended, ended))
        if usage.cache_read:
            self._hits[key] = (max(tokens, usage.cache_read), first, ended)
        missed = tokens - usage.cache_read
        age = exchange.started - last
        if missed <= 0 or age > _CACHE_SECONDS + _ORDER_SECONDS:
            return 0
        hit = replace(usage, cache_read=usage.cache_read + missed, cache_write_5m=max(0, usage.cache_write_5m - missed))
        nano = _cost(exchange, usage) - _cost(exchange, hit)
        if exchange.started - first > _ORDER_SECONDS and age < _CACHE_SECONDS - _ORDER_SECONDS:
            return nano
        self._unsure[exchange.vendor, exchange.model, "cache_miss"] += nano
        return 0

    def _never_used(self, exchange: Exchange, usage: ServedUsage) -> int:
        """What definitions cost that had been sent often enough while the tool was never wanted."""
        who = (exchange.vendor, exchange.model)
        asked = self._asked.get((*who, exchange.conversation), {})
        self._used.update((*who, call.split()[0]) for at, call in asked.items() if at < exchange.tool_results)
        unused = 0
        definitions = _definitions(exchange.body)
        for name, tokens in definitions.items():
            self._definitions[*who, name] += 1
            if (*who, name) not in self._used and self._definitions[*who, name] > WASTE.unused_calls:
                unused += tokens
        edge = (*who, "tool_definitions")  # one call more or less before a tool was used for the first time
        self._unsure[edge] = max(self._unsure[edge], _without(exchange, usage, sum(definitions.values())))
        return _without(exchange, usage, unused)


def _is_asked_at_once(body: Any) -> bool:
    """Whether equal requests overlap: which of them came before an answer only the application can see."""
    return FAQ in json_bytes(body).decode()


def _definitions(body: Any) -> dict[str, int]:
    """Tokens of each tool's definition, in any vendor's form."""
    found = {}
    for tool in body.get("tools") or () if isinstance(body, dict) else ():
        for one in tool.get("functionDeclarations") or (tool,):
            found[str(one.get("function", one).get("name"))] = prompt_tokens(one)
    return found


def _without(exchange: Exchange, usage: ServedUsage, tokens: int) -> int:
    """What so many tokens of definitions cost."""
    less = replace(usage, prompt=usage.prompt - tokens, cache_read=max(0, usage.cache_read - tokens))
    return _cost(exchange, usage) - _cost(exchange, less) if tokens else 0


def _cost(exchange: Exchange, usage: ServedUsage) -> int:
    return cost_nano_usd(exchange.vendor, exchange.served_model or exchange.model, usage) or 0


def waste_differences(expected: Waste, unsure: Waste, from_metrics: Waste, from_ledger: Waste | None) -> list[str]:
    """Where the metrics' waste is not what the simulators know, or the ledger differs from the metrics."""
    found = []
    for provider, model in sorted({key[:2] for key in (*expected, *from_metrics)}):

        def difference(*causes: str, also: int = 0, who: tuple[str, str] = (provider, model)) -> str:
            known, counted = (
                sum(source.get((*who, cause), 0) for cause in causes) for source in (expected, from_metrics)
            )
            if known <= counted <= known + also:
                return ""
            name, why = "/".join(who), " or ".join(causes)
            return f"{name}: ${known / 1e9:.9f} wasted by {why}, the metrics say ${counted / 1e9:.9f}"

        again = expected.get((provider, model, "again"), 0)
        may_miss = unsure.get((provider, model, "cache_miss"), 0)
        found += [difference(cause) for cause in ("failed", "aborted", "loop")]
        found += [difference("cache_miss", also=may_miss)]
        found += [difference(cause, also=again) for cause in ("retried", "duplicate")]
        found += [difference("retried", "duplicate", "again")]
    known, counted, edges = (
        sum(nano for key, nano in source.items() if key[2] == "tool_definitions")
        for source in (expected, from_metrics, unsure)
    )
    if abs(counted - known) > DEFINITIONS_TOLERANCE * known + edges:
        found.append(
            f"${known / 1e9:.9f} wasted by tool_definitions, the metrics say ${counted / 1e9:.9f}: "
            f"more than {DEFINITIONS_TOLERANCE:.0%} apart"
        )
    if from_ledger is not None and from_ledger != from_metrics:
        in_metrics, in_ledger = (sum(waste.values()) / 1e9 for waste in (from_metrics, from_ledger))
        found.append(f"waste: metrics ${in_metrics:.9f}, ledger ${in_ledger:.9f}")
    return [sentence for sentence in found if sentence]
