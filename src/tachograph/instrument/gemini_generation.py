"""One call of google-genai while it is under way: a `generate_content` with its requests, or a message of a chat."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import msgspec

from tachograph.instrument import active_config, hosts
from tachograph.instrument.hosts import Place
from tachograph.instrument.kinds import Kind, kept, template_of
from tachograph.instrument.streams import StreamState
from tachograph.instrument.watch import Watch
from tachograph.records import LLMCall
from tachograph.records.content import keep
from tachograph.records.keys import key_hint
from tachograph.signals.spans import enter, leave
from tachograph.vendors.api import Api
from tachograph.vendors.fields import pick
from tachograph.vendors.gemini.apis import GENERATE
from tachograph.vendors.gemini.generation import Generation, Hop

if TYPE_CHECKING:
    from tachograph.recorder import Recorder

GENERATING: ContextVar[GenerationWatch | None] = ContextVar("tachograph_generation", default=None)
"""The `generate_content` that is under way here, tools of its included."""


class GenerationWatch(Watch):
    """One `generate_content`; its record begins with its first request, or when it is read.

    Attributes:
        start: Begins the record.
        reader_of_hops: Reads the answers of its requests; made when the first is to be read.
        answers: Whole answers of its requests, not yet read.
        tails: The last chunks of its requests, not yet read, each with the hop that they belong to.
        stream: How far the answer has come, where it streams.
        is_inside: Whether `GENERATING`, and the span, are those of this call here.
        config: What the application asked for beside the contents.
    """

    start: Callable[[], LLMCall] | None = None
    config: Any = None
    reader_of_hops: Generation = None  # type: ignore[assignment]  # set before the first request
    answers: list[Any] = msgspec.field(default_factory=list)
    tails: list[tuple[Hop, Any]] = msgspec.field(default_factory=list)
    stream: StreamState | None = None
    is_inside: bool = False
    before: Any = None

    def begin_now(self) -> None:
        """Begin the record, where it has not begun."""
        if self.call is None:
            assert self.start is not None
            self.call = self.start()
            if self.is_inside:
                enter(self.call)

    def sending(self, url: object) -> Any:
        """A request goes out."""
        if self.call is None:
            self.begin_now()
        return super().sending(url)

    def go_inside(self) -> None:
        """From here on the library works for this call: it sends requests and runs tools."""
        if not self.is_inside:
            self.before = GENERATING.get()
            GENERATING.set(self)
            self.is_inside = True
            if self.call is not None:
                enter(self.call)

    def come_out(self) -> None:
        """The application is at work again."""
        if self.is_inside:
            self.is_inside = False
            GENERATING.set(self.before)  # not reset(): a generator may be closed in another context
            if self.call is not None:
                leave(self.call)

    def came_out(self, keep: object) -> tuple[Any, bool]:
        """A chunk has come, and goes to the application.

        Returns:
            What keeps the next chunks of this request, and whether the library may run tools while it makes them.
        """
        self.come_out()
        stream = self.stream
        keep = keep if stream is None or stream.tail is not None else stream.keep_last()
        return keep, bool(pick(self.config, "tools"))

    def hop_answered(self, answer: object) -> None:
        """A request that does not stream is done."""
        self.answers.append(answer)
        self._request_ended()
        if self.call.sink.ring is not None:
            tokens, before = super().tokens_of(answer), self.call.tokens
            if tokens is not None and before is not None:
                tokens = (tokens[0] or 0) + (before[0] or 0), (tokens[1] or 0) + (before[1] or 0)
            self.call.tokens = tokens or before

    def tokens_of(self, answer: object) -> tuple[int | None, int | None] | None:
        """Those of all its requests."""
        return self.call.tokens

    def next_hop(self) -> Hop:
        """A streamed request is about to be sent."""
        return self.reader_of_hops.hop()

    def note(self, hop: Hop, chunk: object) -> bool:
        """One of the first chunks of a streamed request; says whether there has been content."""
        reader = self.reader_of_hops
        if hop.feed(chunk) and not reader.started:
            reader.start(self.call)
        return reader.started

    def hop_ended(self) -> None:
        """A streamed request's answer is whole: its attempt ends, if it has not yet."""
        self._request_ended()
        self._keep_tail()

    def hop_failed(self) -> None:
        """Reading a streamed answer has failed; the library may ask again."""
        self._keep_tail()

    def _request_ended(self) -> None:
        if self.sent and not self.sent[-1].ended_ns:
            self.sent[-1].ended_ns = perf_counter_ns()

    def _keep_tail(self) -> None:
        stream = self.stream
        if stream is not None:
            if stream.tail is not None and self.reader_of_hops.hops:
                self.tails.append((self.reader_of_hops.hops[-1], stream.tail))
                stream.tail = None
            self.go_inside()

    def failed(self, error: BaseException) -> None:
        """As for any call, with the tokens of the hops that went well."""
        if self.call is not None or self.stream is None:
            self.begin_now()
            super().failed(error)

    def stream_ended(self) -> None:
        """The last chunk has been read."""
        self.begin_now()
        if self.stream is not None:
            self.stream.ended()

    def stream_interrupted(self, error: BaseException) -> None:
        """Reading the chunks has ended before the last one."""
        self.begin_now()
        if self.stream is not None:
            self.stream.interrupted(error)

    # Read when the record is delivered

    def read_hops(self) -> None:
        """What the requests' answers say."""
        if self.reader_of_hops is None:
            self.reader_of_hops = Generation()
        answers, self.answers = self.answers, []
        for answer in answers:
            self.reader_of_hops.hop().feed(answer)
        tails, self.tails = self.tails, []
        for hop, tail in tails:
            for chunk in tail:
                hop.feed(chunk)

    def read_failure(self) -> None:
        """How the call failed."""
        self.read_requests()
        self.read_hops()
        self.reader_of_hops.fill(self.call)
        self.end_failed()

    def whole_answer(self) -> object:
        """What reads the answers."""
        self.read_hops()
        return self.reader_of_hops


class ChatWatch(GenerationWatch):
    """One message of a chat. Its record begins with its first request; a message that sends none is not a call.

    Attributes:
        contents: The conversation, which the chat makes longer from request to request: distinguishes its requests
            from those of tools.
        model: What is asked.
    """

    contents: Any = None
    model: Any = None

    def takes(self, models: object, keywords: dict[str, Any], *, stream: bool, is_async: bool) -> bool:
        """Whether this `generate_content` is one of the message's requests."""
        contents = keywords.get("contents")
        if self.start is not None:
            if contents is not self.contents:
                return False
            keywords["model"] = self.model  # a budget may have chosen another one
            return True
        self.uses_aiohttp = is_async and uses_client_aiohttp(models)
        self.start = partial(start, models, GENERATE, keywords, stream=stream)
        if not stream:
            self.begin_now()
        self.contents, self.config, self.model = contents, keywords.get("config"), keywords.get("model")
        return True

    def failed(self, error: BaseException) -> None:
        """As for any call, where a request was made."""
        if self.call is not None:
            super().failed(error)

    def stream_ended(self) -> None:
        """The last chunk has been read."""
        if self.start is not None:
            super().stream_ended()

    def stream_interrupted(self, error: BaseException) -> None:
        """Reading the chunks has ended before the last one."""
        if self.start is not None:
            super().stream_interrupted(error)


def start(models: Any, api: Api, keywords: dict[str, Any], *, stream: bool = False) -> LLMCall:
    """Begin the call of one method of the client; what a budget changes is changed in its arguments."""
    sink = active_config.recorder()
    try:
        client = models._api_client
        name = client._http_options.base_url, api
    except AttributeError:  # laid out otherwise
        client = getattr(models, "_api_client", None)
        name = str(pick(getattr(client, "_http_options", None), "base_url") or ""), api
    key = getattr(client, "api_key", None)
    kind: Kind = sink.kinds.get(name) or _new_kind(sink, name, key)
    facts = api.facts(keywords)
    call = kind.template.__copy__()
    call.model, call.message_count, call.stream = facts.model, facts.message_count, stream
    call.request = facts.settings
    if key is not kind.key:
        call.api_key_hint = key_hint(key)
    if not stream and not kind.looks:
        sink.begin_llm_call(call, None, True)
        return call
    sink.begin_llm_call(call, keywords if api.costs else None, True, not stream)
    if call.model != facts.model:
        keywords["model"] = call.model
    keep(call, "input", partial(api.input_content, keywords))
    return call


def _new_kind(sink: Recorder, name: tuple[Any, Api], key: object) -> Kind:
    url, api = name
    host, port = hosts.address_of(str(url or ""))
    place = Place(host, port, hosts.chosen(host, active_config.settings.providers) or "gemini", None)
    return kept(
        sink.kinds, name, Kind(api, template_of(sink, api, place, key), key, sink.looks_at_requests(api.operation))
    )


def uses_client_aiohttp(models: object) -> bool:
    use = getattr(getattr(models, "_api_client", None), "_use_aiohttp", None)
    return bool(use()) if use is not None else False
