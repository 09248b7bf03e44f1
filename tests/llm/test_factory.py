"""Making providers by name, and what they keep to themselves."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import traceback
from typing import Any

import pytest

from support.ways import KEY, VENDORS, Way
from tachograph import MissingExtraError, ProviderFactory, TachographError
from tachograph.llm.errors import AuthenticationError, ProviderError
from tachograph.llm.providers.openai import OpenAIProvider
from tachograph.llm.retry import NO_RETRIES
from tachograph.runtime import join
from tachograph.testing import Recording
from tachograph_demo.simulators import InvalidKey, Raw, Simulators


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini"])
def test_each_creation_is_measured_and_is_cheap(name: str, seen: Recording) -> None:
    for _ in range(5):
        ProviderFactory.create(name, api_key="k")
    made = seen.histogram("factory_create_seconds", factory_type="provider", name=name)
    assert made.count == 5
    assert made.buckets[0.01] > 0  # no SDK import, no HTTP client, no certificates; a busy machine may stretch some


def test_an_unknown_name_says_which_names_exist() -> None:
    with pytest.raises(TachographError) as caught:
        ProviderFactory.create("opnai")
    assert "'opnai'" in str(caught.value)
    assert "anthropic, gemini, openai" in str(caught.value)


def test_a_user_can_register_a_provider(simulators: Simulators, seen: Recording) -> None:
    def groq(**options: Any) -> OpenAIProvider:
        return OpenAIProvider(name="groq", base_url=simulators.openai.url, **options)

    ProviderFactory.register("groq", groq)
    try:
        assert "groq" in ProviderFactory.names()
        with ProviderFactory.create("groq", api_key="k") as provider:
            provider.complete(model="llama-3.1-8b-instant", messages="Hello")
    finally:
        ProviderFactory._makers.pop("groq")
    assert seen.llm_calls[0].provider == "groq"
    assert seen.value("factory_create_seconds_count", factory_type="provider", name="groq") == 1


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("openai", ["OPENAI_API_KEY"]),
        ("anthropic", ["ANTHROPIC_API_KEY"]),
        ("gemini", ["GEMINI_API_KEY", "GOOGLE_API_KEY"]),
    ],
)
def test_a_missing_key_says_where_it_belongs(
    name: str, variables: list[str], monkeypatch: pytest.MonkeyPatch, seen: Recording
) -> None:
    for variable in variables:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(TachographError) as caught:
        ProviderFactory.create(name)
    assert variables[0] in str(caught.value)
    monkeypatch.setenv(variables[-1], "from-the-environment")
    assert ProviderFactory.create(name).name == name


@pytest.mark.parametrize(("vendor", "extra"), [("openai", "openai"), ("anthropic", "anthropic"), ("gemini", "gemini")])
def test_a_missing_sdk_prints_the_install_line(vendor: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("openai", "anthropic", "google", "google.genai"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(ProviderFactory, "_makers", {})
    with pytest.raises(MissingExtraError, match=rf"pip install 'tachograph\[{extra}\]'"):
        ProviderFactory.create(vendor, api_key="k")


def test_importing_tachograph_imports_no_sdk() -> None:
    code = (
        "import sys, tachograph, tachograph.llm.engine, tachograph.llm.factory\n"
        "heavy = {'openai', 'anthropic', 'google.genai', 'mcp', 'httpx2', 'httpx', 'aiohttp', 'numpy', 'genai_prices',"
        " 'pydantic', 'opentelemetry.sdk'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
    assert printed.stdout.strip() == "[]"


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(("vendor", "options"), VENDORS, ids=str)
def test_a_key_that_the_server_echoes_shows_nowhere(
    vendor: str,
    options: dict[str, Any],
    is_stream: bool,
    simulators: Simulators,
    seen: Recording,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    way = Way(vendor, False, is_stream, options)
    provider = way.provider(simulators, retry=NO_RETRIES)
    told: list[str] = [repr(provider)]
    wrong = f"Incorrect API key provided: {KEY}."
    page = f"<html>{KEY}</html>".encode()
    for item in (InvalidKey(message=wrong), Raw(status=502, body=page)):
        getattr(simulators, vendor).script(item)
        with pytest.raises(ProviderError) as caught:
            way.ask(way.provider(simulators, retry=NO_RETRIES))
        error = caught.value
        told += [str(error), repr(error), "".join(traceback.format_exception(error)), repr(vars(error))]
    assert isinstance(caught.value, ProviderError)
    for call in seen.llm_calls:
        told += [repr(call), repr(call.error), repr(call.settings()), repr(call.attempts)]
    for span in seen.spans:
        told += [span.to_json()]
    told += [record.getMessage() for record in caplog.records if record.name.startswith("tachograph")]
    assert KEY not in "\n".join(told)
    assert "[api key]" in "\n".join(told)


def test_the_key_is_sent(simulators: Simulators, seen: Recording) -> None:
    for vendor, options in VENDORS:
        way = Way(vendor, False, False, options)
        way.ask(way.provider(simulators))
    for exchange in simulators.served.wait(4):
        assert KEY in str(dict(exchange.headers)) + exchange.path


def test_a_wrong_key_is_an_authentication_error(simulators: Simulators, seen: Recording) -> None:
    simulators.gemini.script(InvalidKey())
    way = Way("gemini", True, False)
    with pytest.raises(AuthenticationError, match="Check the API key"):
        way.ask(way.provider(simulators))


def test_clients_that_were_given_stay_open(simulators: Simulators, seen: Recording) -> None:
    import httpx2

    for vendor, options in VENDORS:
        with httpx2.Client(verify=False) as given:
            way = Way(vendor, False, False, options)
            way.ask(way.provider(simulators, http_client=given))
            assert not given.is_closed

    async def awaited() -> None:
        for vendor, options in VENDORS:
            async with httpx2.AsyncClient(verify=False) as given:
                way = Way(vendor, True, False, options)
                async with way.provider(simulators, async_http_client=given) as provider:
                    await provider.acomplete(model=way.model, messages="Hello")
                assert not given.is_closed

    asyncio.run(awaited())


def test_a_provider_serves_one_event_loop_after_another(simulators: Simulators, seen: Recording) -> None:
    for vendor, options in VENDORS:
        way = Way(vendor, True, False, options)
        provider = way.provider(simulators, http_client=None, async_http_client=None)

        async def ask(provider: Any = provider, model: str = way.model) -> None:
            await provider.acomplete(model=model, messages="Hello")
            await provider.aclose()

        asyncio.run(ask())
        asyncio.run(ask())
    assert [call.outcome for call in seen.llm_calls] == ["success"] * 8


def test_a_request_or_its_fields_but_not_both(simulators: Simulators) -> None:
    from tachograph import Request

    provider = Way("openai", False, False).provider(simulators)
    with pytest.raises(TypeError, match="not both"):
        provider.complete(Request(model="m", messages="x"), model="m")
    with pytest.raises(TypeError, match="needs messages"):
        provider.complete(model="m")


def test_a_provider_with_a_recorder_of_its_own_touches_no_other(
    simulators: Simulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tachograph import runtime
    from tachograph.signals.registry import Metrics

    monkeypatch.setattr(runtime, "_default", lambda: pytest.fail("the process's recorder was made"))
    before = runtime.set_recorder(None)
    try:
        own = join(Metrics(()), strict=True)
        way = Way("openai", False, False)
        call = way.ask(way.provider(simulators, recorder=own)).call
        assert own.metrics.cell(own.metrics.families["llm_provider_tokens_total"], "openai", way.model, "prompt").value
        assert call.content is None
    finally:
        runtime.set_recorder(before)
