"""Watching boto3's calls of Amazon Bedrock.

Their requests are seen in urllib3 (`wire_urllib3.py`). What this adds is that the retries of botocore are attempts of
one call: its client's method is a `Scope`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import hooked, missing
from tachograph.instrument.wire import SCOPE, Scope
from tachograph.tape.guard import generate

_CALL: Final = """
    def _make_api_call(self, *args, **keywords):
        scope = None
        guard pass: scope = begin(self)
        if scope is None:
            return original(self, *args, **keywords)
        token = set_scope(scope)
        try:
            return original(self, *args, **keywords)
        finally:
            reset_scope(token)
            guard pass: scope.end()
"""


def install() -> None:
    """Hook botocore's clients, now or once they are imported."""
    after_import("botocore.client", _hook)


def _hook(module: ModuleType) -> None:
    names: dict[str, Any] = {"begin": _begin, "set_scope": SCOPE.set, "reset_scope": SCOPE.reset}
    owner = getattr(module, "BaseClient", None)
    if owner is not None and patch(
        owner, "_make_api_call", lambda original: generate(_CALL, "_make_api_call", original=original, **names)
    ):
        hooked("botocore", "BaseClient._make_api_call")
    else:
        missing("botocore", "BaseClient._make_api_call", "each retry counts as a call")


def _begin(client: Any) -> Scope | None:
    is_bedrock = client.meta.service_model.service_name == "bedrock-runtime"
    return Scope() if is_bedrock and SWITCH.on and SCOPE.get() is None else None
