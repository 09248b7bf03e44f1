"""Watching the wire: requests to known providers, by any library.

LiteLLM, mistralai, cohere, ollama, huggingface_hub and many more send requests that no hook of a client library sees.
Hooks in the HTTP libraries (`attempts.py`, `wire_aiohttp.py`, `wire_urllib3.py`) ask `SITES` about the host of each
request: one look-up, and no more for a host that is not known. A known host and path begin a `WireWatch`. Its answer
is read by the vendors' readers in the drain, as a client library's is.

A request that belongs to a watched call (`WATCH` is set) is that call's attempt and no call of its own. A request of
our own engine is the engine's.

    one request                   one call with one attempt
    requests inside a `WireScope` one call; a failed one is followed by the next attempt (`scope.py`)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import structs

from tachograph.instrument import active_config, hosts, outcomes
from tachograph.instrument.patches import SWITCH
from tachograph.instrument.scope import SCOPE
from tachograph.instrument.streams import StreamState
from tachograph.instrument.watch import WATCH, Sent, Watch
from tachograph.instrument.wire_bodies import FailedState, WireFollower, read_chunks
from tachograph.records import ENGINE_CALL
from tachograph.records.content import keep
from tachograph.records.keys import key_hint_of_request
from tachograph.records.outcomes import ErrorType
from tachograph.signals.spans import enter, leave
from tachograph.tape.guard import call_wrapper
from tachograph.urls import split
from tachograph.vendors.api import Api, RequestFacts
from tachograph.vendors.dialects import dialect_of, local_dialect, matches
from tachograph.vendors.errors import failure_of
from tachograph.vendors.loose import loads
from tachograph.vendors.wire import WireRoute, route

_LOCAL: Final = ("localhost", "127.0.0.1", "::1", "host.docker.internal")
_MOST_HOSTS: Final = 4096


class Site(NamedTuple):
    """A host that is watched.

    Attributes:
        host: Its name.
        any_port: Whether all its ports are; else those that `port_is_watched` accepts.
    """

    host: str
    any_port: bool


class Sites(dict[str, Site | None]):
    """Hosts that were met: what is watched of each, or None. Asking for a new one finds out."""

    def __missing__(self, host: str) -> Site | None:
        if len(self) >= _MOST_HOSTS:
            self.clear()
        site = self[host] = _site(str(host).lower(), active_config.settings.wire_hosts)
        return site


SITES: Final = Sites()


class Authorities(dict[str, Site | None]):
    """Hosts and ports as URLs spell them: what is watched of each. The first request to one parses it."""

    def __missing__(self, authority: str) -> Site | None:
        if len(self) >= _MOST_HOSTS:
            self.clear()
        host = split(f"//{authority}").hostname
        site = self[authority] = None if host is None else SITES[host]
        return site


AUTHORITIES: Final = Authorities()


def site_of_url(url: str) -> Site | None:
    """What is known of the host of a URL: one look-up, without parsing the URL."""
    return AUTHORITIES[url.partition("://")[2].partition("/")[0]]


def forget_sites() -> None:
    """Find out again: they may be others by other settings."""
    SITES.clear()
    AUTHORITIES.clear()


def _site(host: str, added: tuple[str, ...]) -> Site | None:
    if "wire" not in active_config.settings.clients:
        return None
    plain = [pattern for pattern in added if not _has_port(pattern)]
    if dialect_of(host) is not None or any(matches(host, pattern) for pattern in plain):
        return Site(host, True)
    if host in _LOCAL or any(_has_port(pattern) and matches(host, _without_port(pattern)) for pattern in added):
        return Site(host, False)
    return None


def _has_port(pattern: str) -> bool:
    return pattern.rpartition(":")[2].isdigit() and pattern.count(":") == 1


def _without_port(pattern: str) -> str:
    return pattern.rpartition(":")[0]


@lru_cache(maxsize=64)
def _port_is_watched(host: str, port: int | None, added: tuple[str, ...]) -> bool:
    if host in _LOCAL and local_dialect(port) is not None:
        return True
    return any(
        _has_port(pattern) and matches(host, _without_port(pattern)) and pattern.endswith(f":{port}")
        for pattern in added
    )


def _provider(site: Site, port: int | None, api: Api) -> str:
    overrides = active_config.settings.providers
    local = None if site.any_port or site.host not in _LOCAL else local_dialect(port)
    return hosts.provider_of(site.host, api.vendor if local is None else local.label, overrides)


class WireWatch(Watch):
    """One call that was met on the wire.

    Attributes:
        layer: The HTTP library that it was met in: requests of others below are not its attempts.
        follower: Reads the body as the application reads it.
    """

    layer: str = "httpx"
    follower: WireFollower | None = None

    # Called by the HTTP library's hook

    def send(self, url: object) -> None:
        """A request goes out."""
        if self.sent and not self.sent[-1].ended_ns:
            self.sent[-1].ended_ns = perf_counter_ns()  # refused, and the rest of that answer is of no interest
        super().sending(url)

    def sending(self, url: object) -> Sent | None:
        """A request of another HTTP library below (httpx over aiohttp, a proxy's token): none of ours."""
        return None

    def request_failed(self, error: BaseException) -> None:
        """No answer came."""
        self.not_answered(self.sent[-1], error)
        self.error = error
        self._left()
        self.call.traceback = error.__traceback__
        self.fail(self.read_failure)

    def answered_with(self, status: int, headers: object, *, read: object = None, is_decoded: bool = False) -> None:
        """An answer came: whole, or with a body that `follower` is to follow.

        Args:
            status, headers: As answered.
            read: What has the whole of the body as `content`, where it is read already.
            is_decoded: Whether the pieces of an unread body come without their encoding.
        """
        sent = self.sent[-1]
        sent.status, sent.headers = status, headers
        self._left()
        if read is not None:
            sent.ended_ns = perf_counter_ns()
            if status >= 400:
                sent.response = read
                self.fail(self.read_status)
            else:
                self.body = read
                self.call.hand_over(self.read_whole)
            return
        if 300 <= status < 400 and self.scope is not None:
            self.scope.is_redirected = True
            self.fail(self.read_status)
            return
        if status >= 400 and self.scope is not None:
            self.scope.is_refused = True
        make = StreamState if status < 400 else FailedState
        self.state = state = make(self, self.reader())
        self.follower = WireFollower(state, headers, is_decoded=is_decoded)

    def _left(self) -> None:
        if self.call.span is not None:
            leave(self.call)  # what goes on in its body is not current here

    # Read when the record is delivered

    def read_status(self) -> None:
        """An answer with an error status, and what its body says."""
        sent = self.sent[-1]
        body = None if sent.response is None else sent.response.content
        failure = failure_of(self.api.vendor, status=sent.status, headers=sent.headers, body=body)
        if failure.error_type == "unknown":
            error_type: ErrorType = "server_error"
        else:
            error_type = failure.error_type
        self.read_requests()
        outcome = outcomes.outcome_of(error_type)
        outcomes.correct_last_attempt(self.call, outcome, error_type)
        said = f"HTTP {sent.status}" + (f": {failure.message}" if failure.message else "")
        self.call.end(outcome, error_type, error=said)

    def read_whole(self) -> None:
        """A whole answer, of whatever form."""
        headers = self.sent[-1].headers
        content, self.body = self.body.content, None
        kind = (headers.get("content-type") or "").lower()
        if self.api.chunks is not None and read_chunks(self, kind, content):
            return
        self.answer = answer_of(kind, content)
        self.read_answer()


def answer_of(kind: str, content: bytes) -> object:
    """A body as a reader takes it: JSON as it reads, text as text, None where it is binary."""
    if "json" in kind or content[:1] in (b"{", b"["):
        try:
            return loads(content)
        except (ValueError, RecursionError):
            return content.decode("utf-8", "replace")
    return content.decode("utf-8", "replace") if kind.startswith("text/") else None


def send_wrapper(
    original: object,
    begin: Callable[..., WireWatch | None],
    answered: Callable[[WireWatch, Any], object],
    *,
    is_async: bool,
    signature: str,
    begins: str,
    plain: str = "",
) -> Any:
    """The wrapper around what sends one request of an HTTP library; `tape.guard.call_wrapper` says what is what."""
    return call_wrapper(
        original,
        {WATCH: "watch"},
        begin=begin,
        done=answered,
        failed=WireWatch.request_failed,
        is_async=is_async,
        signature=signature,
        begins=begins,
        plain=plain,
    )


# Beginning


class WireRequest(NamedTuple):
    """A request as an HTTP library sends it.

    Attributes:
        layer: Which library.
        method, path, port, url: Where to; `url` as `Watch.send` takes it.
        headers: The application's, as far as they are known.
        content: Gives the body, as far as it is in memory: bytes, text, or a dictionary.
    """

    layer: str
    method: str
    path: str
    port: int | None
    url: Any
    headers: Any
    content: Callable[[], Any]


def begin(site: Site, request: WireRequest) -> WireWatch | None:
    """The watch of one request to a known host, or None when it is not to be watched."""
    found = route(request.method, request.path)
    if found is None or not SWITCH.on or ENGINE_CALL.get() is not None:
        return None
    if not site.any_port and not _port_is_watched(site.host, request.port, active_config.settings.wire_hosts):
        return None
    body = _body(request.content())
    facts = found.api.facts(body)
    model = facts.model if not found.model or facts.model != "unknown" else found.model
    provider = _provider(site, request.port, found.api)
    scope = SCOPE.get()
    again = None if scope is None else scope.again(found.api, provider, model, body)
    if isinstance(again, WireWatch):
        watch = again
    else:
        watch = _begin(site, request, found, provider, structs.replace(facts, model=model), body)
        watch.layer = request.layer
        if scope is not None:
            scope.begin(watch, model, body)
    watch.send(request.url)
    if watch.call.span is not None:
        enter(watch.call)  # a stream's span is current while its request is sent
    return watch


def _begin(
    site: Site, request: WireRequest, found: WireRoute, provider: str, facts: RequestFacts, body: dict[str, Any]
) -> WireWatch:
    api = found.api
    call = active_config.recorder().start_llm_call(
        provider,
        facts.model,
        api.operation,
        message_count=facts.message_count,
        stream=facts.stream if found.stream is None else found.stream,
        asks=body if api.costs else None,
        is_watched=True,
        takes_other_model=False,  # the body is bytes by now
        key_hint=key_hint_of_request(request.headers, request.url),
    )
    try:
        call.api, call.response_id = api.name, found.stored_id
        call.counts_usage = api.counts_usage
        call.server_address, call.server_port = site.host, request.port
        call.request = facts.settings
        call.dialect = hosts.configured_dialect(site.host)
        keep(call, "input", lambda: api.input_content(body))
        return WireWatch(call, api, host=None)
    except Exception:
        call.withdraw()
        raise


def _body(content: object) -> dict[str, Any]:
    if isinstance(content, dict):
        return content
    if isinstance(content, (bytes, bytearray, str)) and content:
        try:
            found = msgspec.json.decode(content)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}
    return {}


def httpx_body(request: Any) -> object:
    """The body of an httpx request that is in memory; the fields of a form; else nothing."""
    content = getattr(request, "_content", None)
    if content is not None:
        return content
    fields = {}
    for field in getattr(request.stream, "fields", ()):
        value = getattr(field, "value", None)
        if isinstance(value, (str, bytes)) and len(value) < 1024:
            fields[str(field.name)] = value if isinstance(value, str) else value.decode("utf-8", "replace")
    return fields
