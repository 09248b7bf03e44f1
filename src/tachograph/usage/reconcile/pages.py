"""Paged reports of the providers' admin APIs, from the API or from files with its answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tachograph.files import read_named
from tachograph.usage.reconcile.bill import BillError

if TYPE_CHECKING:
    import httpx2

_TRIES = 5
_LONGEST_WAIT_SECONDS = 60.0


def from_api(url: str, parameters: Sequence[tuple[str, str]], headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Every bucket of a report, page after page; waits when the API says so.

    Raises:
        BillError: The API refuses or does not answer.
    """
    import httpx2

    page: str | None = None
    with httpx2.Client(timeout=60, headers=headers) as client:
        while True:
            asked = [*parameters, *([("page", page)] if page else [])]
            body = ask(client, url, asked)
            yield from body.get("data") or []
            before, page = page, body.get("next_page") if body.get("has_more", True) else None
            if not page:
                return
            if page == before:
                raise BillError("the report's pages do not end", where=url, do="Check --base-url.")


def ask(
    client: httpx2.Client, url: str, parameters: Sequence[tuple[str, str]], *, or_nothing: bool = False
) -> dict[str, Any]:
    """One answer of an admin API; waits when the API says so.

    Args:
        or_nothing: 404 says that there is none: an empty answer.

    Raises:
        BillError: The API refuses or does not answer.
    """
    import httpx2

    for attempt in range(_TRIES):
        try:
            answer = client.get(url, params=list(parameters))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            do = "Check the network and the address."
            raise BillError(f"the report cannot be fetched: {error}", where=url, do=do) from error
        if answer.status_code == 429:
            if attempt + 1 < _TRIES:
                time.sleep(min(_LONGEST_WAIT_SECONDS, _wait(answer.headers.get("retry-after"), attempt)))
            continue
        if answer.status_code == 404 and or_nothing:
            return {}
        if answer.status_code in (401, 403):
            raise BillError(
                f"the provider refuses this key for its reports ({answer.status_code})",
                where=url,
                do="Usage and cost reports need an admin key of the organisation, not a key for calls.",
            )
        if answer.status_code >= 400:
            raise BillError(f"the provider answers {answer.status_code}: {answer.text[:200]}", where=url)
        try:
            body = answer.json()
        except ValueError as error:
            raise BillError("the provider's answer is not JSON", where=url, do="Check --base-url.") from error
        if not isinstance(body, dict):
            raise BillError("the provider's answer is no report", where=url, do="Check --base-url.")
        return body
    raise BillError(f"the provider still answers 429 after {_TRIES} tries", where=url, do="Try again later.")


def _wait(text: str | None, attempt: int) -> float:
    try:
        return max(0.0, float(text or ""))
    except ValueError:
        return 2.0**attempt


LONGEST_REPORT = 256 << 20
"""Bytes of a saved report, which is read as a whole."""


def from_files(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Every bucket of saved answers: a page, a list of pages, or one page a line.

    Raises:
        BillError: A file cannot be read, or holds no report.
    """
    for path in paths:
        try:
            text = read_named(path, LONGEST_REPORT, takes_pipes=True)
        except (OSError, UnicodeDecodeError) as error:
            raise BillError(
                f"the report cannot be read: {error}", where=str(path), do="Name a readable file."
            ) from error
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            try:
                found = [json.loads(line) for line in text.splitlines() if line.strip()]
            except (ValueError, RecursionError) as error:
                raise BillError(
                    f"the file is not JSON: {error}", where=str(path), do="Save the API's answers as they come."
                ) from error
        pages = found if isinstance(found, list) else [found]
        if not all(isinstance(page, dict) and ("data" in page or "results" in page) for page in pages):
            raise BillError(
                "the file holds no usage or cost report", where=str(path), do="Save the API's answers as they come."
            )
        for page in pages:
            yield from page.get("data", [page])
