"""What the demo's application does: chats, streamed chats, summaries under a long cached prompt, agents with tools, and
questions that are asked again and again.

A job is a few LLM calls that belong together. Job number n is always the same for the same seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from .lineup import EXPENSIVE, LINEUP, Model
from .simulators.seeded import sentence

Kind = Literal["chat", "stream", "summary", "agent", "faq", "archive", "report"]

_SHARES: Final[tuple[tuple[Kind, float], ...]] = (
    ("chat", 0.25),
    ("stream", 0.3),
    ("summary", 0.2),
    ("agent", 0.2),
    ("faq", 0.05),
)
_TURNS: Final = (1, 1, 2, 2)
FAQ_CALLS: Final = 3
"""Calls of a job of the kind faq: an application without a cache asks the same thing several times at once."""
FAQ: Final = "Answer from the shop's manual. Be brief."
"""The system prompt of questions that are asked several times at once."""
FAQ_TOKENS: Final = 1000
"""An answer's at most, so that a budget can compute a call's largest cost before it is made."""
CALLS_PER_JOB: Final = 0.25 * 1.5 + 0.3 * 1.5 + 0.2 * 1 + 0.2 * 3 + 0.05 * FAQ_CALLS
"""LLM calls of a job on average: agents take one to three steps with tools and then answer."""

AGENTS: Final[dict[Kind, str]] = {
    "chat": "assistant",
    "stream": "assistant",
    "summary": "ticket-summary",
    "agent": "order-desk",
    "faq": "faq",
    "archive": "archive-summary",
    "report": "report",
}
"""Whose run a job is, by its kind. The order desk hands over to the back office: a run inside its run."""
VERSION: Final = "2.3.0"
USERS: Final = 17
TEAMS: Final = ("support", "sales", "logistics")
_MANUAL_WORDS: Final = 1800
_ARCHIVE_WORDS: Final = 34_000


@dataclass(frozen=True, slots=True)
class Job:
    """One job.

    Attributes:
        turns: What the user says, one after the other; agents have one.
        system: The system prompt.
        is_cached: Whether the system prompt is long and to be cached by the provider.
        pieces: How many pieces of a stream its reader waits for; None: all.
        max_tokens: What the answer may take; None: what the model allows.
    """

    number: int
    kind: Kind
    model: Model
    team: str
    turns: tuple[str, ...]
    system: str
    is_cached: bool = False
    pieces: int | None = None
    max_tokens: int | None = None


def make_job(seed: int, number: int) -> Job:
    """Ordinary job number `number`."""
    rng = random.Random(f"{seed}/job/{number}")
    kinds: list[Kind] = [k for k, _ in _SHARES]
    kind = rng.choices(kinds, [share for _, share in _SHARES])[0]
    model = rng.choices(LINEUP, [m.share for m in LINEUP])[0]
    team = rng.choice(TEAMS)
    if kind == "summary":
        ticket = sentence(rng, rng.randint(60, 240))
        return Job(number, kind, model, team, (f"Ticket {number}: {ticket}",), manual(seed, team), is_cached=True)
    if kind == "agent":
        return _agent_job(number, model, team, f"Request {number}: {sentence(rng, 12)}")
    if kind == "faq":
        question = f"Question {number % 3}: how long does a delivery of part {number % 3} take?"
        return Job(number, "faq", model, team, (question,), FAQ, max_tokens=FAQ_TOKENS)
    turns = tuple(f"Note {number}.{i}: {sentence(rng, rng.randint(10, 160))}" for i in range(rng.choice(_TURNS)))
    return Job(number, kind, model, team, turns, "You are the assistant of a small shop. Be brief.")


def make_archive_job(seed: int, number: int) -> Job:
    """A whole archive, for the most expensive model."""
    return Job(
        number, "archive", EXPENSIVE, "sales", (f"Archive {number}: {_archive(seed)}",), "Summarise the archive."
    )


def make_report_job(seed: int, number: int, pieces: int | None) -> Job:
    """A streamed report about a manual, by the most expensive model; nothing of it is cached."""
    team = TEAMS[number % len(TEAMS)]
    asked = f"Report {number}." if pieces is None else f"Report {number}, in brief."
    return Job(number, "report", EXPENSIVE, team, (asked,), manual(seed, "reports"), pieces=pieces)


def make_summary_job(seed: int, number: int) -> Job:
    """A ticket's summary under a long cached manual, by the most expensive model."""
    ticket = sentence(random.Random(f"{seed}/summary/{number}"), 60)
    said = f"Urgent ticket {number}: {ticket}"
    return Job(number, "summary", EXPENSIVE, "support", (said,), manual(seed, "tickets"), is_cached=True)


def make_request_job(seed: int, number: int) -> Job:
    """An agent's job, for the most expensive model."""
    said = sentence(random.Random(f"{seed}/request/{number}"), 12)
    return _agent_job(number, EXPENSIVE, "logistics", f"Urgent request {number}: {said}")


def _agent_job(number: int, model: Model, team: str, request: str) -> Job:
    system = "You work in the back office of a small shop. Use the tools."
    return Job(number, "agent", model, team, (f"{request} Find out with the tools and answer.",), system)


@lru_cache(maxsize=16)
def manual(seed: int, team: str) -> str:
    """A team's manual: long enough for every vendor's cache, and the same each time."""
    rng = random.Random(f"{seed}/manual/{team}")
    return f"Manual of the team {team}. " + " ".join(sentence(rng, 18) for _ in range(_MANUAL_WORDS // 18))


@lru_cache(maxsize=2)
def _archive(seed: int) -> str:
    rng = random.Random(f"{seed}/archive")
    return " ".join(sentence(rng, 40) for _ in range(_ARCHIVE_WORDS // 40))
