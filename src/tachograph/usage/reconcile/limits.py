"""The limits that vendors keep for an organisation, from their admin APIs: rates by project and model, and spending.

OpenAI: `GET /organization/projects`, `/organization/projects/{id}/rate_limits`, and the hard limits at
`/organization/spend_limit` and `/organization/projects/{id}/spend_limit` (404: none is set).
Anthropic: `GET /v1/organizations/rate_limits`; its spend limits are given for members only, so none is read.
Google has no such API.

Source: openai 3.54 SDK's and anthropic 2's types of these APIs, read 2026-11-27;
https://platform.claude.com/docs/en/manage-claude/rate-limits-api, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tachograph.usage.reconcile.bill import understood
from tachograph.usage.reconcile.pages import ask, from_api

if TYPE_CHECKING:
    import httpx2

_OPENAI_KINDS: Final = {
    "max_requests_per_1_minute": "requests_per_minute",
    "max_tokens_per_1_minute": "tokens_per_minute",
    "max_images_per_1_minute": "images_per_minute",
    "max_audio_megabytes_per_1_minute": "audio_megabytes_per_minute",
    "max_requests_per_1_day": "requests_per_day",
    "batch_1_day_max_input_tokens": "batch_input_tokens_per_day",
}
ORGANIZATION: Final = "organization"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So much of one kind for one model; `scope` is the organisation or a project's name."""

    scope: str
    model: str
    kind: str
    value: float


@dataclass(frozen=True, slots=True)
class SpendLimit:
    """A hard limit of money over a month, and whether requests are refused because of it now."""

    scope: str
    usd: float
    is_enforcing: bool


def openai(*, key: str, base_url: str) -> Iterator[RateLimit | SpendLimit]:
    """The limits of every project and of the organisation.

    Raises:
        BillError: The API refuses or does not answer.
    """
    root = f"{base_url.rstrip('/')}/organization"
    yield from understood(_openai(root, key), root)


def _openai(root: str, key: str) -> Iterator[RateLimit | SpendLimit]:
    import httpx2

    with httpx2.Client(timeout=60, headers={"Authorization": f"Bearer {key}"}) as client:
        yield from _spending(ask(client, f"{root}/spend_limit", (), or_nothing=True), ORGANIZATION)
        for project in listed(client, f"{root}/projects"):
            if project.get("archived_at"):
                continue
            scope, place = str(project.get("name") or project["id"]), f"{root}/projects/{project['id']}"
            yield from _spending(ask(client, f"{place}/spend_limit", (), or_nothing=True), scope)
            for limit in listed(client, f"{place}/rate_limits"):
                for name, kind in _OPENAI_KINDS.items():
                    if limit.get(name) is not None:
                        yield RateLimit(scope, str(limit.get("model") or ""), kind, float(limit[name]))


def anthropic(*, key: str, base_url: str) -> Iterator[RateLimit | SpendLimit]:
    """The rate limits of the organisation; those of a group of models are at each model.

    Raises:
        BillError: The API refuses or does not answer.
    """
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
    url = f"{base_url.rstrip('/')}/v1/organizations/rate_limits"
    yield from understood(_anthropic(from_api(url, (), headers)), url)


def _anthropic(entries: Iterable[dict[str, Any]]) -> Iterator[RateLimit]:
    for entry in entries:
        group = entry.get("group") or {}
        for model in entry.get("models") or [str(group.get("type") or "")]:
            for limit in entry.get("limits") or ():
                yield RateLimit(ORGANIZATION, str(model), str(limit.get("type")), float(limit.get("value") or 0))


def listed(client: httpx2.Client, url: str, *, after: str = "after") -> Iterator[dict[str, Any]]:
    """Every entry of an admin API's list, page after page; `after` is the parameter by which it goes on.

    Raises:
        BillError: The API refuses or does not answer.
    """
    last: str | None = None
    while True:
        page = ask(client, url, [("limit", "100"), *([(after, last)] if last else [])])
        yield from page.get("data") or ()
        last = page.get("last_id") if page.get("has_more") else None
        if not last:
            return


def _spending(found: dict[str, Any], scope: str) -> Iterator[SpendLimit]:
    if found.get("threshold_amount") is not None:
        enforcement = found.get("enforcement") or {}
        yield SpendLimit(scope, float(found["threshold_amount"]) / 100, enforcement.get("status") == "enforcing")
