"""How the simulated models behave in the demo: what they say, which tools they want, how long it takes.

Everything comes out of the demo's seed and the conversation, so that a run can be repeated.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Any

from .lineup import BY_NAME, Model
from .simulators import (
    Answer,
    AskedRequest,
    Item,
    Overloaded,
    RateLimited,
    RateLimits,
    ServerError,
    Simulators,
    ToolCall,
)
from .simulators.seeded import example, sentence

SERVER_ERRORS = 0.002
"""Share of ordinary requests that meet a passing server error: below every alert's threshold."""
RATE_LIMITS = 0.006
"""Share of ordinary requests that get a 429 with a short wait."""

_ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Africa/Nairobi", "Australia/Sydney")
_CITIES = ("Ulm", "Porto", "Aarhus", "Lviv", "Turku", "Gent")

_ARGUMENTS: dict[str, Callable[[random.Random, str], dict[str, Any]]] = {
    # the tools of the demo, and arguments that make sense
    "get_current_time": lambda rng, repo: {"timezone": rng.choice(_ZONES)},
    "convert_time": lambda rng, repo: {
        "source_timezone": rng.choice(_ZONES),
        "time": f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}",
        "target_timezone": rng.choice(_ZONES),
    },
    "git_status": lambda rng, repo: {"repo_path": repo},
    "git_log": lambda rng, repo: {"repo_path": repo, "max_count": rng.randint(1, 3)},
    "git_diff_unstaged": lambda rng, repo: {"repo_path": repo},
    "search_orders": lambda rng, repo: {
        "query": rng.choice(("lamp", "desk", "chair", "Lind")),
        "limit": rng.randint(1, 4),
    },
    "quote_refund": lambda rng, repo: {"order_id": f"A-{rng.randint(1000, 9999)}", "reason": "arrived broken"},
    "weather": lambda rng, repo: {"city": rng.choice(_CITIES), "days": rng.randint(1, 4)},
    "summarise_ticket": lambda rng, repo: {"ticket_id": f"T-{rng.randint(100, 999)}"},
    "stock_level": lambda rng, repo: {"article": rng.choice(("lamp", "desk", "chair", "shelf"))},
}


_WEIGHTS = {"search_orders": 3.0, "quote_refund": 2.0, "weather": 2.0}
"""How much likelier than the others a tool is wanted."""


class ScriptedModel:
    """Plays every model of the line-up, and reports the rate limits that they would have.

    Args:
        seed: Same seed, same conversations.
        repo_path: The repository that git tools are asked about.
        speed: Factor on all delays; 0 answers at once.
        ordinary_failures: Whether some requests fail without an incident.
    """

    def __init__(self, seed: int, repo_path: str = ".", speed: float = 1.0, *, ordinary_failures: bool = True) -> None:
        self._seed = seed
        self._repo_path = repo_path
        self._speed = speed
        self._ordinary_failures = ordinary_failures
        self._budgets: dict[str, _Budget] = {}

    def attach(self, simulators: Simulators) -> None:
        """Let the simulators ask this model for every unscripted answer."""
        for vendor in simulators.vendors:
            vendor.rule(self.answer)
            vendor.rate_limits = self.rate_limits

    def answer(self, request: AskedRequest) -> Item | None:
        """What the model says to this request; None for models that are not in the line-up."""
        model = BY_NAME.get(request.model)
        if model is None:
            return None
        luck = random.Random(request.seed).random() if self._ordinary_failures else 1.0
        if luck < SERVER_ERRORS:
            return Overloaded() if request.vendor == "anthropic" else ServerError(status=503)
        if luck < SERVER_ERRORS + RATE_LIMITS:
            form: Any = "retry_info" if request.vendor == "gemini" else "seconds"
            return RateLimited(retry_after=round(0.3 + luck * 100, 2), retry_after_form=form)
        rng = random.Random(f"{self._seed}/{request.conversation}/{request.tool_results}")
        return self._speak(request, model, rng)

    def _speak(self, request: AskedRequest, model: Model, rng: random.Random) -> Answer:
        steps = 1 + request.conversation % 3
        calls: tuple[ToolCall, ...] = ()
        text = ""
        if request.tools and request.tool_results < steps:
            names = sorted(request.tools)
            name = rng.choices(names, [_weight(name) for name in names])[0]
            calls = (ToolCall(name, self._arguments(name, request, rng), id=f"call_{rng.getrandbits(64):016x}"),)
            size = 25
        else:
            words = min(400, max(6, round(rng.lognormvariate(math.log(70), 0.6))))
            text = sentence(rng, words)
            size = len(text) // 4
        # Latency: log-normal around the model's median, the tail as long as real ones have it.
        first = model.first_token_seconds * rng.lognormvariate(0, 0.35) * self._speed
        writing = size / model.tokens_per_second * rng.lognormvariate(0, 0.2) * self._speed
        if not request.is_stream:
            return Answer(text=text, tool_calls=calls, delay_seconds=first + writing)
        pieces = max(1, min(12, size // 6))
        return Answer(
            text=text, tool_calls=calls, first_token_seconds=first, pieces=pieces, piece_seconds=writing / pieces
        )

    def _arguments(self, name: str, request: AskedRequest, rng: random.Random) -> dict[str, Any]:
        for tool, arguments in _ARGUMENTS.items():
            if name.endswith(tool):
                return arguments(rng, self._repo_path)
        made: dict[str, Any] = example(request.tools[name], rng)
        return made

    def rate_limits(self, request: AskedRequest) -> RateLimits | None:
        """What is left of the model's rate limits, for the headers of OpenAI and Anthropic."""
        model = BY_NAME.get(request.model)
        if model is None or request.vendor == "gemini":
            return None
        budget = self._budgets.setdefault(model.name, _Budget(model))
        return budget.take(request.prompt_tokens + 100, rfc_3339=request.vendor == "anthropic")

    def exhaust(self, provider: str) -> None:
        """Nothing is left of this provider's limits (they refill at their pace)."""
        for model in BY_NAME.values():
            if model.provider == provider:
                self._budgets.setdefault(model.name, _Budget(model)).empty()


def _weight(name: str) -> float:
    return next((weight for tool, weight in _WEIGHTS.items() if name.endswith(tool)), 1.0)


class _Budget:
    """Requests and tokens a minute, as two buckets that refill all the time."""

    def __init__(self, model: Model) -> None:
        self._limits = (model.requests_per_minute, model.tokens_per_minute)
        self._left = [float(limit) for limit in self._limits]
        self._at = time.monotonic()

    def _refill(self) -> None:
        now = time.monotonic()
        elapsed, self._at = now - self._at, now
        for i, limit in enumerate(self._limits):
            self._left[i] = min(limit, self._left[i] + limit / 60 * elapsed)

    def empty(self) -> None:
        self._refill()
        self._left = [0.0, 0.0]

    def take(self, tokens: int, *, rfc_3339: bool) -> RateLimits:
        self._refill()
        values: dict[str, str] = {}
        for i, (kind, used) in enumerate((("requests", 1), ("tokens", tokens))):
            limit = self._limits[i]
            self._left[i] = max(0.0, self._left[i] - used)
            seconds = (limit - self._left[i]) / (limit / 60)
            values[f"{kind}_limit"] = str(limit)
            values[f"{kind}_remaining"] = str(int(self._left[i]))
            values[f"{kind}_reset"] = _stamp(seconds) if rfc_3339 else _duration(seconds)
        return RateLimits(**values)


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + math.ceil(seconds)))


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.3f}s"
