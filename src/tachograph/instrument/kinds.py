"""What the calls of one client to one API have in common: found once, and copied for each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tachograph.instrument.hosts import Place
from tachograph.records import LLMCall
from tachograph.records.keys import key_hint
from tachograph.vendors.api import Api

if TYPE_CHECKING:
    from tachograph.recorder import Recorder

_MOST: Final = 256


class Kind(msgspec.Struct, frozen=True):
    """What the calls of one client by one method have in common.

    Attributes:
        api: What is asked of.
        template: A call that never begins: each call is a copy of it.
        key: The client's, whose hint the template has.
        looks: Whether also a request that is not streamed is of interest beyond what is noted of each.
        url: The client's; with it kept, no other object gets its id.
        host: As `Watch.host`.
        amend: Has what a stream costs sent with it.
    """

    api: Api
    template: LLMCall
    key: Any
    looks: bool
    url: Any = None
    host: str | None = None
    amend: Callable[[Any, Any, Any], None] | None = None


def template_of(sink: Recorder, api: Api, place: Place, key: object) -> LLMCall:
    """A call to an API at this place, paid for by this key, that never begins."""
    template = LLMCall(sink, place.provider, "", api.operation)
    template.api, template.counts_usage = api.name, api.counts_usage
    template.server_address, template.server_port, template.dialect = place.host, place.port, place.dialect
    template.api_key_hint = key_hint(key)  # a cloud's client may have no key
    template.attempts = ()  # type: ignore[assignment]  # each call has a list once its requests are read
    return template


def kept(kinds: dict[Any, Any], name: tuple[Any, ...], kind: Kind) -> Kind:
    """Keep a kind under its name; returns it."""
    if len(kinds) >= _MOST:
        kinds.clear()
    kinds[name] = kind
    return kind
