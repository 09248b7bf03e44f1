"""Libraries that try again by themselves, above what we hook: their methods are scopes, whose retries are attempts."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any, Final, NamedTuple

from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import missing
from tachograph.instrument.scope import SCOPE, WireScope
from tachograph.tape.guard import generate


class Retrying(NamedTuple):
    """Where a library tries again.

    Attributes:
        library: Whose.
        module: The module that has it.
        owner: The class; empty when they are the module's functions.
        sync, asynchronous: Names of its methods or functions, around all their attempts.
        is_former: Whether later versions have them elsewhere.
    """

    library: str
    module: str
    owner: str
    sync: tuple[str, ...] = ()
    asynchronous: tuple[str, ...] = ()
    is_former: bool = False


_ROUTED: Final = ("completion", "text_completion", "embedding")
_ROUTED_ASYNC: Final = ("acompletion", "atext_completion", "aembedding", "aresponses")
_ROUTING: Final = "async_function_with_fallbacks"  # on a thread of its own, where a loop runs already


PLACES: Final = (
    Retrying("aiobotocore", "aiobotocore.client", "AioBaseClient", (), ("_make_api_call",)),
    Retrying("azure-core", "azure.core.pipeline._base", "Pipeline", ("run",)),
    Retrying("azure-core", "azure.core.pipeline._base_async", "AsyncPipeline", (), ("run",)),
    Retrying("boto3", "botocore.client", "BaseClient", ("_make_api_call",)),
    Retrying("cohere", "cohere.core.http_client", "HttpClient", ("request",)),
    Retrying("cohere", "cohere.core.http_client", "AsyncHttpClient", (), ("request",)),
    Retrying("dspy", "dspy.clients.execution", "", ("execute",), ("aexecute",)),
    Retrying("litellm", "litellm", "", ("completion", "responses"), ("acompletion", "aresponses")),
    Retrying("litellm", "litellm.router", "Router", _ROUTED, (*_ROUTED_ASYNC, _ROUTING), is_former=True),
    Retrying("litellm", "litellm.router_rust.core", "RustCore", _ROUTED, _ROUTED_ASYNC),
    Retrying("mistralai", "mistralai.basesdk", "BaseSDK", ("do_request",), ("do_request_async",)),  # 1.x
    Retrying("mistralai", "mistralai.client.basesdk", "BaseSDK", ("do_request",), ("do_request_async",)),
)
"""By their sources of 2026-11-27: aiobotocore 2.25, azure-core 1.41, botocore 1.44, cohere 7.3, dspy 3.4,
litellm 1.110, mistralai 3."""

_SCOPED: Final = """
    ASYNC def scoped(*args, **keywords):
        scope = None
        guard pass: scope = begin()
        if scope is None:
            return AWAIT original(*args, **keywords)
        token = set_scope(scope)
        try:
            return AWAIT original(*args, **keywords)
        finally:
            reset_scope(token)
            guard pass: scope.close()
"""


def install() -> None:
    """Hook them, now or once they are imported."""
    for place in PLACES:
        after_import(place.module, partial(_hook, place))


def _hook(place: Retrying, module: ModuleType) -> None:
    owner = getattr(module, place.owner, None) if place.owner else module
    for names, is_async in ((place.sync, False), (place.asynchronous, True)):
        for name in names:
            if (owner is None or not patch(owner, name, partial(_scoped, is_async=is_async))) and not place.is_former:
                missing(place.library, f"{place.owner or place.module}.{name}", "each retry counts as a call")


def _scoped(original: object, *, is_async: bool) -> Any:
    names: dict[str, Any] = {"begin": _begin, "set_scope": SCOPE.set, "reset_scope": SCOPE.reset}
    return generate(_SCOPED, "scoped", is_async=is_async, original=original, **names)


def _begin() -> WireScope | None:
    return WireScope() if SWITCH.on and SCOPE.get() is None else None
