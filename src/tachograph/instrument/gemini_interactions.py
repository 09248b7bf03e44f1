"""Watching google-genai's interactions: a client of their own inside the library, over httpx2 from 3.x on."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any, Final

from tachograph.instrument import active_config, stainless
from tachograph.instrument.bodies import state_of
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import hook
from tachograph.instrument.streams import read, read_async
from tachograph.instrument.watch import WATCH, Watch
from tachograph.instrument.wrap import watched, watched_async
from tachograph.records import ENGINE_CALL
from tachograph.records.content import keep
from tachograph.records.keys import key_hint
from tachograph.signals.spans import enter
from tachograph.tape.guard import generate
from tachograph.vendors.api import Api
from tachograph.vendors.fields import pick, plain
from tachograph.vendors.gemini.apis import FETCH_INTERACTION, INTERACT


def install() -> None:
    """Hook them, now or once they are imported."""
    after_import("google.genai._gaos.interactions", _hook_interactions)
    after_import("google.genai._gaos.utils.eventstreaming", _hook_events)
    stainless.install("google.genai._interactions", _interaction_request, name="google_genai")  # 2.x


def _interaction(interactions: object, keywords: dict[str, Any], *, api: Api) -> Watch:
    asked = keywords.get("request") or keywords
    body = pick(asked, "body") or asked
    fields = plain(body)
    request: dict[str, Any] = fields if type(fields) is dict else {}
    facts = api.facts(request)
    call = active_config.recorder().start_llm_call(
        "gemini",
        facts.model,
        api.operation,
        message_count=facts.message_count,
        stream=facts.stream,
        asks=body if api.costs else None,
        is_watched=True,
        takes_other_model=False,
        key_hint=key_hint(_key_of(interactions)),
    )
    call.api = api.name
    call.request = facts.settings
    keep(call, "input", lambda: api.input_content(request))
    return Watch(call, api, is_raw=True)  # read from the body: the answer may be a model, or the response itself


def _key_of(interactions: object) -> object:
    """The key of a client of interactions: its own in google-genai 2.x, that of its configuration in 3.x."""
    security = getattr(getattr(interactions, "sdk_configuration", None), "security", None)
    return getattr(security, "api_key", None) or getattr(interactions, "api_key", None)


def _interaction_request(client: object, options: Any) -> Watch | None:
    """google-genai 2.x: interactions are a generated client inside; every request of it passes here."""
    path = options.url.partition("?")[0]
    create = options.method.lower() == "post" and path.endswith("interactions")
    fetch = options.method.lower() == "get" and "interactions/" in path
    outer = WATCH.get()
    if not (create or fetch) or not SWITCH.on or ENGINE_CALL.get() is not None:
        return None
    if outer is not None and outer.subject is options:
        return None
    body = options.json_data if isinstance(options.json_data, dict) else {}
    watch = _interaction(client, body, api=INTERACT if create else FETCH_INTERACTION)
    watch.subject = options
    watch.is_raw = stainless.is_raw(options.headers)
    enter(watch.call)
    return watch


def _hook_interactions(module: ModuleType) -> None:
    for name, api in (("create", INTERACT), ("get", FETCH_INTERACTION)):
        for owner_name, make in (("Interactions", watched), ("AsyncInteractions", watched_async)):
            wrapper = partial(make, begin=partial(_interaction, api=api), done=Watch.answered_whole)
            hook("google_genai", module, owner_name, name, wrapper, "they are not seen")


_EVENTS: Final = """
    def __init__(self, response, *args, **keywords):
        original(self, response, *args, **keywords)
        state = None
        guard pass: state = state_of(response)
        if state is not None:
            self.generator = read(state, self.generator)
"""


def _hook_events(module: ModuleType) -> None:
    patch(module.Stream, "__init__", partial(_event_stream, reader=read))
    patch(module.AsyncStream, "__init__", partial(_event_stream, reader=read_async))


def _event_stream(original: object, *, reader: object) -> Any:
    return generate(_EVENTS, "__init__", original=original, read=reader, state_of=state_of)
