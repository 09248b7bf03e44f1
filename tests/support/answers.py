"""What the readers of vendors' APIs make of an answer: by method and path, without a client and without a network."""

from __future__ import annotations

import json
from typing import Any

from tachograph.records import NOWHERE, LLMCall
from tachograph.vendors.api import Api
from tachograph.vendors.loose import loads
from tachograph.vendors.wire import WireRoute, route

_FRESH = LLMCall(NOWHERE, "any", "asked-for")
_OF_ONE_CALL = ("sink", "provider", "number", "operation", "api", "stream", "started_ns", "started_unix_ns", "body")


class Attributes:
    """JSON as attributes of a class of their own."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__dict__.update(fields)


def attributes(answer: Any) -> Any:
    """An answer whose objects are `Attributes`."""
    return json.loads(json.dumps(answer), object_hook=Attributes)


def loose(answer: Any) -> Any:
    """An answer as it is read off the wire."""
    return loads(json.dumps(answer))


def routed(path: str, method: str = "POST") -> WireRoute:
    """How the answer to a request is read."""
    found = route(method, path)
    assert found is not None
    return found


def made(api: Api, **fields: Any) -> LLMCall:
    """A record that has been begun."""
    call = LLMCall(NOWHERE, api.vendor, "asked-for", api.operation, api=api.name)
    for name, value in fields.items():
        setattr(call, name, value)
    return call


def told(call: LLMCall) -> dict[str, Any]:
    """What a record says that one that has only been begun does not."""
    names = [name for name in call.__struct_fields__ if name not in _OF_ONE_CALL]
    found = {name: getattr(call, name) for name in names if getattr(call, name) != getattr(_FRESH, name)}
    if call.first_token_ns:
        found["first_token_ns"] = True
    return found


def read(api: Api, answer: Any, **fields: Any) -> dict[str, Any]:
    """What the record of a whole answer says; `failed`: the error type that the answer itself gives."""
    call = made(api, **fields)
    failed = api.read(call, answer)
    return told(call) | ({} if failed is None else {"failed": failed})


def streamed(api: Api, *events: Any, **fields: Any) -> dict[str, Any]:
    """What the record of a streamed answer says; `first`: the piece that was the first content; `whole`: it ended."""
    assert api.chunks is not None
    call, reader = made(api, stream=True, **fields), api.chunks()
    found: dict[str, Any] = {}
    for number, event in enumerate(events):
        assert reader.feed(event, call) is False, "nothing is hidden from the application"
        if reader.started and "first" not in found:
            found["first"] = number
    reader.fill(call)
    if reader.error_type is not None:
        found["failed"] = reader.error_type
    if reader.is_complete:
        found["whole"] = True
    said = told(call)
    assert said.pop("first_token_ns", False) == reader.started == ("first" in found)
    return found | said
