"""Watching the anthropic client (1.x and 2.x): which requests are watched, and what they ask for.

How they are seen is in `stainless.py`, how answers are read in `anthropic_apis.py`. The client's own OpenTelemetry
span, which is on by default, is left out; see `vendor_spans.py`.
"""

from __future__ import annotations

from typing import Any, Final

from tachograph.instrument import hosts, settled, stainless, vendor_spans
from tachograph.instrument.watch import Watch, is_under_way
from tachograph.records import ENGINE_CALL
from tachograph.records.content import keep
from tachograph.records.keys import key_hint
from tachograph.vendors.anthropic.apis import route

_BY_CLASS: Final = (
    ("Bedrock", "bedrock"),
    ("AWS", "bedrock"),
    ("Vertex", "vertex"),
    ("GoogleCloud", "vertex"),
    ("Foundry", "azure"),
)
"""Provider labels by what the name of the client's class holds."""


def install() -> None:
    """Hook the client, now or once it is imported."""
    stainless.install("anthropic", _begin)
    vendor_spans.install_anthropic()


def _begin(client: Any, options: Any) -> Watch | None:
    """The watch of one request, or None when it is not to be watched."""
    api, stored_id = route(options.method, options.url)
    if api is None or ENGINE_CALL.get() is not None or is_under_way(api, options):
        return None
    data = options.json_data
    body: Any = data if isinstance(data, dict) else {}
    if options.extra_json:
        body = {**body, **options.extra_json}
    host, port, provider = hosts.place_of(client, settled.settings.providers, _fallback)
    facts = api.facts(body)
    model = facts.model
    call = settled.recorder().start_llm_call(
        provider,
        model,
        api.operation,
        message_count=facts.message_count,
        stream=facts.stream,
        asks=body if api.costs else None,
        is_watched=True,
        key_hint=key_hint(client.api_key),
    )
    try:
        call.api = api.name
        call.counts_usage = api.counts_usage
        if stored_id is not None:
            call.response_id = stored_id
        call.server_address, call.server_port = host, port
        call.request = facts.settings
        watch = Watch(call, api, options, None if stored_id else host)
        if options.headers and stainless.is_raw(options):
            watch.is_raw = True
        if call.model != model:
            watch.subject, _ = stainless.with_body(options, {**body, "model": call.model})
        keep(call, "input", lambda: api.input_content(body))
    except Exception:
        call.withdraw()
        raise
    return watch


def _fallback(client: type) -> str:
    return next((label for part, label in _BY_CLASS if part in client.__name__), "anthropic")
