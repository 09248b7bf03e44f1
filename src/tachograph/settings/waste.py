"""Settings of waste."""

from __future__ import annotations

from typing import Annotated

import msgspec


class WasteSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money that bought nothing: counted by cause, in metrics and in the ledger.

    Attributes:
        enabled: Count it.
        prompts: Know prompts again by their hashes (no text is kept), for `retried`, `duplicate`, `cache_miss`, `loop`
            and `tool_definitions`. It costs the caller some 3 us, and more for long conversations. Without it only
            `failed` and `aborted` are counted.
        retry_seconds: The same request again within so many seconds of its answer is a retry, later a duplicate.
        duplicate_seconds: For how long an answer would have served the same request again.
        loop_calls: The same tool with the same arguments for the so-manieth time in a conversation is a loop.
        unused_calls: A tool definition counts once it has been sent so many times and its tool was never called.
    """

    enabled: bool = True
    prompts: bool = False
    retry_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 60.0
    duplicate_seconds: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 3600.0
    loop_calls: Annotated[int, msgspec.Meta(ge=2, le=100)] = 3
    unused_calls: Annotated[int, msgspec.Meta(ge=1, le=100000)] = 20
