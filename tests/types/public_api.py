"""What type checkers see of the public names: mypy and Pyright read this file, and nothing runs it."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, assert_type

import tachograph
from tachograph import (
    Attempt,
    BudgetExceededError,
    BudgetRequest,
    Cost,
    Limiter,
    LLMCall,
    Message,
    ProviderError,
    ProviderFactory,
    Recorder,
    Request,
    Response,
    RetryPolicy,
    Settings,
    SettingsError,
    TachographError,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    run,
)
from tachograph.llm import AsyncStream, Provider, Stream
from tachograph.records import Run
from tachograph.testing import HistogramValue, Recording, recording
from tachograph.usage.ledger import Ledger
from tachograph.usage.reports.run_cost import RunCost
from tachograph.usage.row import Row


def setting_up() -> None:
    assert_type(tachograph.configure(metrics={"port": 9464}), Recorder)
    assert_type(tachograph.get_recorder(), Recorder)
    tachograph.instrument("openai", include_usage=True)
    tachograph.uninstrument()
    assert_type(tachograph.__version__, str)
    assert_type(Settings().metrics.port, int | None)


def listening(recorder: Recorder) -> None:
    def listener(record: LLMCall | ToolCall) -> None:
        if isinstance(record, LLMCall):
            assert_type(record.attempts, list[Attempt])
        else:
            assert_type(record.server_id, str)

    remove = recorder.add_listener(listener)
    assert_type(remove(), None)
    assert_type(recorder.ledger, Ledger | None)


def one_call(call: LLMCall) -> None:
    assert_type(call.provider, str)
    assert_type(call.usage, Usage | None)
    assert_type(call.cost, Cost | None)
    assert_type(call.run, Run | None)
    assert_type(call.error, BaseException | str | None)
    if call.cost is not None:
        assert_type(call.cost.usd, Decimal | None)
        assert_type(call.cost.quality, Literal["priced", "stated", "estimated", "included", "unpriced"])
    if call.usage is not None:
        assert_type(call.usage.input_tokens, int | None)
    assert_type(call.attempts[0].status, int | None)


def labelling() -> None:
    with tachograph.labels(team="search") as nothing, run("refund-agent", execution_id="job-7") as opened:
        assert_type(nothing, None)
        assert_type(opened, Run)

    @run("refund-agent")
    def decorated(name: str) -> int:
        return len(name)

    assert_type(decorated("name"), int)


async def labelling_async() -> None:
    async with run("refund-agent") as opened:
        assert_type(opened, Run)


def the_engine() -> None:
    provider = ProviderFactory.create("openai", retry=RetryPolicy(attempts=2), limiter=Limiter(requests_per_minute=60))
    assert_type(provider, Provider)
    tools = [Tool(name="get_time", description="", parameters={"type": "object"})]
    answer = provider.complete(model="gpt-5", messages="Hello", tools=tools)
    assert_type(answer, Response)
    assert_type(answer.text, str)
    assert_type(answer.message, Message)
    assert_type(answer.call, LLMCall)
    assert_type(provider.stream(model="gpt-5", messages="Hello"), Stream)
    assert_type(provider.astream(Request(model="gpt-5", messages="Hello")), AsyncStream)
    assert_type(ToolResult(id="1", content="12:00").is_error, bool)


async def the_engine_async(provider: Provider) -> None:
    assert_type(await provider.acomplete(model="gpt-5", messages="Hello"), Response)


def errors(error: BudgetExceededError, refused: ProviderError) -> None:
    base: TachographError = SettingsError("", where="", do="")
    assert_type(base.do, str | None)
    assert_type(refused.call, LLMCall | None)


def budget_request(request: BudgetRequest) -> bool:
    assert_type(request.needs_usd, Decimal)
    return request.needs_usd < request.limit_usd


def the_ledger(ledger: Ledger) -> None:
    assert_type(ledger.by_execution("job-7"), list[Row])
    assert_type(ledger.total(agent="refund-agent"), RunCost)
    assert_type(ledger.flush(), bool)


def for_tests() -> None:
    with recording() as recorded:
        assert_type(recorded, Recording)
        assert_type(recorded.llm_calls, list[LLMCall])
        assert_type(recorded.value("llm_provider_cost_usd_total", provider="openai"), float)
        assert_type(recorded.histogram("llm_call_seconds"), HistogramValue)
