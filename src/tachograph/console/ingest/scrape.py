"""Scrapes /metrics of targets on a schedule, as Prometheus would."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass

from tachograph.console.ingest.exposition import ExpositionReader
from tachograph.console.promql.labels import NAME, Labels
from tachograph.console.tsdb import Metadata, StoredExemplar, TimeSeriesStore
from tachograph.errors import TachographError
from tachograph.urls import split

MAX_BODY = 16 * 1024 * 1024
# OpenMetrics first, because it alone carries exemplars.
_ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


@dataclass(slots=True)
class TargetState:
    """How a target did last time."""

    url: str
    up: bool = False
    last_error: str = ""
    last_scrape: float = 0.0
    last_duration: float = 0.0


class ScrapeTarget:
    """One URL that is scraped.

    Raises:
        TachographError: The URL is not http or https.
    """

    def __init__(self, url: str, *, job: str = "tachograph", timeout: float = 5.0) -> None:
        parts = split(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TachographError(
                f"{url!r} cannot be scraped",
                where="--scrape",
                do="Give an address such as http://127.0.0.1:9464/metrics.",
            )
        path = parts.path if parts.path not in ("", "/") else "/metrics"
        self.url = f"{parts.scheme}://{parts.netloc}{path}" + (f"?{parts.query}" if parts.query else "")
        self.job, self.instance = job, parts.netloc.rpartition("@")[2]
        self.timeout = timeout
        self.state = TargetState(self.url)
        self._reader = ExpositionReader({"job": job, "instance": self.instance})

    def scrape(self, store: TimeSeriesStore, at: int | None = None) -> bool:
        """Fetch, parse and store one exposition; failures are kept in `state` and shown as `up == 0`."""
        began = time.perf_counter()
        stamp = int(time.time() * 1000) if at is None else at
        metadata: dict[str, Metadata] = {}
        samples: list[tuple[Labels, float]] = []
        exemplars: list[tuple[Labels, StoredExemplar]] = []
        error = ""
        try:
            samples = list(self._reader.read(self._fetch(), metadata, exemplars))
        except (OSError, ValueError, http.client.HTTPException, zlib.error) as problem:
            error = _reason(problem)
        duration = time.perf_counter() - began
        for family, described in metadata.items():
            store.describe(family, described)
        target = (("instance", self.instance), ("job", self.job))
        for name, value in (
            ("up", 0.0 if error else 1.0),
            ("scrape_duration_seconds", duration),
            ("scrape_samples_scraped", float(len(samples))),
            ("scrape_samples_post_metric_relabeling", float(len(samples))),
        ):
            samples.append((((NAME, name), *target), value))
        store.ingest(f"scrape:{self.url}", stamp, samples)
        for labels, exemplar in exemplars:
            store.add_exemplar(labels, exemplar)
        self.state = TargetState(self.url, not error, error, stamp / 1000, duration)
        return not error

    def _fetch(self) -> str:
        request = urllib.request.Request(
            self.url,
            headers={
                "Accept": _ACCEPT,
                "Accept-Encoding": "gzip",
                "User-Agent": "tachograph",
            },
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=self.timeout) as response:
            body = response.read(MAX_BODY + 1)
            if len(body) > MAX_BODY:
                raise ValueError(f"the answer is larger than {MAX_BODY} bytes")
            if response.headers.get("Content-Encoding") == "gzip":
                unpacker = zlib.decompressobj(31)
                body = unpacker.decompress(body, MAX_BODY)
                if unpacker.unconsumed_tail:
                    raise ValueError(f"the answer unpacks to more than {MAX_BODY} bytes")
        text: str = body.decode("utf-8", "replace")
        return text


def _reason(problem: Exception) -> str:
    if isinstance(problem, urllib.error.HTTPError):
        return f"server returned HTTP status {problem.code} {problem.reason}"
    if isinstance(problem, urllib.error.URLError):
        return str(problem.reason)
    return str(problem) or type(problem).__name__
