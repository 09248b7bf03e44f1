"""What of a finished call's cost was wasted, and why.

All of it, by the first of these that holds:

    failed            the call ended with an error and is billed all the same
    aborted           the application gave the call up
    loop              the model has called the same tool with the same arguments for the third time for one question
    retried           the same request was answered less than `retry_seconds` ago
    duplicate         the same request was answered less than `duplicate_seconds` ago

or else parts of it, priced by what the call would have cost without:

    cache_miss        tokens that the vendor's cache could have given and did not: by its own diagnostics where it
                      gives them, else those of a prefix that it held a short while ago
    tool_definitions  tool definitions that have been sent many times while their tools were never called

Amounts are whole nano-dollars. Each amount becomes a counter and a row of the ledger (`kind` waste, `operation` the
cause), so that a report can look back; sums of calls never include them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from msgspec.structs import replace

from tachograph.records import LLMCall, ToolCall
from tachograph.records.ids import new_id
from tachograph.records.projection import Projection, project
from tachograph.records.prompt import Prompt
from tachograph.records.tool_owners import NONE, ToolOwners
from tachograph.records.usage import Usage
from tachograph.usage.metrics.families import TOOL_DEFINITION_TOKENS, WASTE_USD

if TYPE_CHECKING:
    from tachograph.recorder import Recorder
    from tachograph.settings.waste import WasteSettings

CAUSES: Final = ("failed", "aborted", "retried", "cache_miss", "duplicate", "loop", "tool_definitions")
_CACHE_SECONDS: Final = 300
"""For how long vendors keep a prefix at least after its last use. Source, checked 2026-11-27:
https://platform.claude.com/docs/en/build-with-claude/prompt-caching,
https://platform.openai.com/docs/guides/prompt-caching."""
_LONG_CACHE_SECONDS: Final = 3600
_NEARLY: Final = 0.9
"""How close a share of the length is to a share of the tokens."""
_MOST: Final = 20_000
_NANO_SECONDS: Final = 1_000_000_000
T = TypeVar("T")


class _Cached(NamedTuple):
    tokens: int
    since_ns: int
    until_ns: int

    def held(self, at_ns: int) -> int:
        """So many tokens a call that began then could have read: not those that a call beside it was writing."""
        return self.tokens if self.since_ns <= at_ns <= self.until_ns else 0


class _Tool:
    __slots__ = ("is_used", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.is_used = False


class _Row:
    """What the ledger is given: a row made already."""

    __slots__ = ("labels", "projection")
    slot = -1

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self.labels = projection.labels


class _Recent(OrderedDict[Any, T]):
    """Remembers the newest entries only."""

    def keep(self, key: object, value: T) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > _MOST:
            self.popitem(last=False)


class Waste:
    """Finds waste in finished calls; a listener of the recorder.

    Args:
        settings: The section `waste`.
        recorder: Its calls are judged; its metrics, pricer and ledger are used.
    """

    def __init__(self, settings: WasteSettings, recorder: Recorder) -> None:
        self._settings = settings
        self._recorder = recorder
        self._lock = threading.Lock()
        self._answered: _Recent[int] = _Recent()
        self._cached: _Recent[_Cached] = _Recent()
        self._seen: _Recent[None] = _Recent()
        self._tools: _Recent[_Tool] = _Recent()
        self._owners = recorder.tool_owners = ToolOwners() if settings.prompts else None
        recorder.add_listener(self.judge, tools=settings.prompts)

    def judge(self, record: LLMCall | ToolCall) -> None:
        """Count what of this call was wasted."""
        if isinstance(record, ToolCall):
            if self._owners is not None and record.side == "client" and not record.is_made_up:
                self._owners.called(record.tool_name, record.server_id)
            return
        if record.prompt is None and record.cache_miss is None and record.outcome == "success":
            return  # most calls, where prompts are not looked at
        cost = record.cost.nano_usd if record.cost is not None and record.counts_usage else None
        with self._lock:
            found = self._find(record, cost or 0)
        for cause, nano in found.items():
            if nano > 0:
                self._count(record, cause, nano)

    def _find(self, call: LLMCall, cost: int) -> dict[str, int]:
        prompt = call.prompt
        if call.outcome != "success":
            return {"aborted" if call.outcome == "cancelled" else "failed": cost}
        if prompt is None:
            return self._diagnosed(call)
        began = call.started_unix_ns
        ended = began + call.ended_ns - call.started_ns
        parts = self._parts(call, prompt, ended)
        last = prompt.asked[-1] if prompt.asked else None
        key = (call.provider, call.model, prompt.whole)
        before = self._answered.get(key)
        self._answered.keep(key, ended)
        if last is not None and prompt.asked.count(last) >= self._settings.loop_calls:
            return {"loop": cost}
        if before is not None:
            age = (began - before) / _NANO_SECONDS
            if 0 <= age < self._settings.retry_seconds:
                return {"retried": cost}
            if age < self._settings.duplicate_seconds > 0:
                return {"duplicate": cost}
        return parts

    def _parts(self, call: LLMCall, prompt: Prompt, ended: int) -> dict[str, int]:
        usage = call.usage
        if usage is None or not usage.input_tokens:
            return {}
        if not prompt.is_whole:  # which tools the rest has used, and how long it is, cannot be seen
            for name, _ in prompt.tools:
                self._tool(call, name).is_used = True
            return self._diagnosed(call)
        return {
            "cache_miss": self._cache_miss(call, prompt, usage, ended),
            "tool_definitions": self._tool_definitions(call, prompt, usage),
        }

    # The vendor's cache

    def _cache_miss(self, call: LLMCall, prompt: Prompt, usage: Usage, ended: int) -> int:
        read = usage.details.get("cache_read", 0)
        written = usage.details.get("cache_write", 0)
        # vendors keep a cache for each account and region: what another has cached says nothing here
        place = hash((call.provider, call.model, call.api_key_hint, call.server_address, call.region))
        keys = [hash((place, mark)) for mark in prompt.prefixes]
        seen = next((at for at in range(len(keys) - 1, -1, -1) if keys[at] in self._seen), None)
        longest = next((self._cached[key] for key in reversed(keys) if key in self._cached), None)
        expected = 0 if longest is None else longest.held(call.started_unix_ns)
        seconds = _LONG_CACHE_SECONDS if usage.details.get("cache_write_1h") else _CACHE_SECONDS
        until = ended + seconds * _NANO_SECONDS
        if written or (read and len(keys) > 1):
            self._keep(keys[-1], read + written, call.started_unix_ns if read else ended, until)
        if read and seen is not None and _may_hold(prompt, seen, read, usage):
            tokens = max(read, 0 if (before := self._cached.get(keys[seen])) is None else before.tokens)
            self._keep(keys[seen], tokens, call.started_unix_ns, until)
        for key in keys:
            self._seen.keep(key, None)
        missed = min(expected, usage.input_tokens or 0) - read
        return self._missed(call, usage, missed)

    def _keep(self, key: int, tokens: int, since: int, until: int) -> None:
        before = self._cached.get(key)
        if before is not None and before.until_ns >= since:
            since = min(since, before.since_ns)
        self._cached.keep(key, _Cached(tokens, since, until))

    def _diagnosed(self, call: LLMCall) -> dict[str, int]:
        return {} if call.usage is None else {"cache_miss": self._missed(call, call.usage)}

    def _missed(self, call: LLMCall, usage: Usage, missed: int = 0) -> int:
        """What so many tokens that were not read from the cache cost more; the vendor's own count comes first."""
        read = usage.details.get("cache_read", 0)
        if call.cache_miss is not None:
            missed = min(call.cache_miss[0], (usage.input_tokens or 0) - read)
        if missed <= 0:
            return 0
        details = {**usage.details, "cache_read": read + missed}
        for word in ("cache_write", "cache_write_5m", "cache_write_1h", "cache_write_30m", "cache_write_12h"):
            if word in details:
                details[word] = max(0, details[word] - missed)
        hit = Usage(usage.input_tokens, usage.output_tokens, _without_zeros(details), usage.tool_uses)
        return self._more_than(call, hit)

    # Tool definitions

    def _tool_definitions(self, call: LLMCall, prompt: Prompt, usage: Usage) -> int:
        for name in prompt.used:
            self._tool(call, name).is_used = True
        if not prompt.tools or not prompt.size or usage.input_tokens is None:
            return 0
        unused = 0
        by_server: dict[str, int] = {}
        for name, size in prompt.tools:
            tool = self._tool(call, name)
            tool.sent += 1
            if not tool.is_used and tool.sent > self._settings.unused_calls:
                unused += size
            server = NONE if self._owners is None else self._owners.of(name)
            by_server[server] = by_server.get(server, 0) + size
        for server, size in by_server.items():
            tokens = usage.input_tokens * size // prompt.size
            self._recorder.metrics.cell(TOOL_DEFINITION_TOKENS, call.provider, call.model, server).add(tokens)
        tokens = usage.input_tokens * unused // prompt.size
        if not tokens:
            return 0
        details = dict(usage.details)
        details["cache_read"] = max(0, details.get("cache_read", 0) - tokens)  # tools come first in every prefix
        without = Usage(usage.input_tokens - tokens, usage.output_tokens, _without_zeros(details), usage.tool_uses)
        return self._more_than(call, without)

    def _tool(self, call: LLMCall, name: str) -> _Tool:
        key = (call.provider, call.model, name)
        tool = self._tools.get(key)
        if tool is None:
            tool = _Tool()
        self._tools.keep(key, tool)
        return tool

    # What it comes to

    def _more_than(self, call: LLMCall, other: Usage) -> int:
        """How much more the call cost than it would have with this usage."""
        pricer = self._recorder.pricer
        if pricer is None or call.cost is None or call.cost.nano_usd is None:
            return 0
        usage, call.usage = call.usage, other
        try:
            cheaper = pricer(call)
        finally:
            call.usage = usage
        return 0 if cheaper is None or cheaper.nano_usd is None else max(0, call.cost.nano_usd - cheaper.nano_usd)

    def _count(self, call: LLMCall, cause: str, nano: int) -> None:
        self._recorder.metrics.cell(WASTE_USD, call.provider, call.model, cause).add(nano)
        ledger: Any = self._recorder.ledger
        if ledger is not None:
            row = replace(
                project(call),
                id=new_id(time_ns()),
                kind="waste",
                operation=cause,
                outcome="success",
                error_type=None,
                latency_us=0,
                ttft_us=None,
                attempts=0,
                wait_us=0,
                retry_wait_us=0,
                input_tokens=None,
                output_tokens=None,
                details=None,
                tool_uses=None,
                audio_seconds=None,
                cost_nusd=nano,
                response_id=None,
                request_id=None,
                cost_detail=call.cache_miss[1] if cause == "cache_miss" and call.cache_miss is not None else None,
                list_cost_nusd=None,
                stated_cost_nusd=None,
                usage_mismatch=None,
                span_id=None,
                parent_id=call.id,
            )
            ledger.accept(_Row(row))


def _may_hold(prompt: Prompt, at: int, tokens: int, usage: Usage) -> bool:
    """Whether so many tokens fit into a prefix of the prompt, by its share of the length.

    If not, the vendor has read on into a turn that begins like an earlier one: the prefix alone is not worth as much.
    """
    return (usage.input_tokens or 0) * prompt.sizes[at] >= _NEARLY * tokens * prompt.size


def _without_zeros(details: dict[str, int]) -> dict[str, int]:
    return {word: tokens for word, tokens in details.items() if tokens}
