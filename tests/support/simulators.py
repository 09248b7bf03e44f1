"""Fixtures: the three vendors on loopback, for the real SDKs. Use them from any test or conftest by

    from support.simulators import simulators        # noqa: F401  (a fixture; or pytest_plugins in the root conftest)

    def test_it(simulators):
        simulators.openai.script(RateLimited(retry_after=0.3), Answer(text="hi", usage=ServedUsage(prompt=9, completion=2)))
        client = openai.OpenAI(base_url=simulators.openai.url, api_key="any", max_retries=0)
        ...
        first, second = simulators.served             # Exchange: status, body, usage, attempt, gap_seconds, started, ended
        simulators.served.totals()["openai", "gpt-5"].usage.prompt

`.url` is the base URL as each SDK takes it (openai base_url, anthropic base_url, genai http_options base_url);
`simulators.openai.azure_url` is azure_endpoint. Unscripted requests get a seeded answer whose usage is counted from
the request. Scripts are queues (`script`), rules (`rule(fn)`, `always(item, when=...)`, both return a remover) and
conditions (`when=lambda request: request.model == "gpt-5"`). `vanish()` / `come_back()` make a vendor refuse connections.
Answers can be held (`Gate`), cut (`ending="eof" | "drop" | "reset" | "hang" | StreamError(...)`, `cut_after=2`) and paced
(`delay_seconds`, `first_token_seconds`, `piece_seconds`). Wait for `served.wait(n)` before reading what a cancelled
client left behind. Everything scriptable is in `tachograph_demo.simulators`.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tachograph_demo.simulators import Simulators


@pytest.fixture(scope="session")
def simulators_process() -> Iterator[Simulators]:
    """The simulators of the whole test run; they start in milliseconds and cost nothing when idle."""
    with Simulators(seed=7) as running:
        yield running


@pytest.fixture
def simulators(simulators_process: Simulators) -> Iterator[Simulators]:
    """The simulators with nothing scripted and nothing served yet."""
    simulators_process.clear()
    yield simulators_process
    simulators_process.clear()
