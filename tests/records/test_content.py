"""The content gate: nothing is kept unless asked for, and nothing gets around it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

import tachograph
from tachograph.records.content import ContentGate
from tachograph.testing import recording

SOURCE = Path(tachograph.__file__).parent


def test_only_the_gate_sets_content_on_a_record() -> None:
    """Elsewhere, `content` of a recorder is its gate, and the console's is what an OTLP sender sent."""
    allowed = {"records/content.py", "console/ingest/otlp/traces.py", "recorder.py", "runtime.py"}
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if (
                    isinstance(target, ast.Attribute)
                    and target.attr == "content"
                    and ast.unparse(target) != "self.content"
                ):
                    found.add(str(path.relative_to(SOURCE)))
    assert found - allowed == set()
    assert "records/content.py" in found


def test_a_closed_gate_keeps_nothing_and_an_open_one_cuts() -> None:
    assert ContentGate().text("secret", "input") is None
    assert ContentGate(True, 3).text("secret", "input") == "sec... [3 more characters]"
    assert ContentGate(True).text({"a": [1]}, "output") == '{"a":[1]}'


def test_what_an_sdk_leaves_out_of_a_request_is_on_no_span() -> None:
    anthropic = pytest.importorskip("anthropic")
    message = {
        "id": "m1", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": [],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=message))
    asked: Any = [{"role": "user", "content": "hi"}]
    with recording() as seen:
        tachograph.instrument("anthropic", recorder=seen.recorder)
        try:
            client = anthropic.Anthropic(api_key="k", http_client=httpx2.Client(transport=transport))
            client.messages.create(model="claude-opus-5", max_tokens=9, messages=asked)
        finally:
            tachograph.uninstrument()
    (span,) = [span for span in seen.spans if span.name == "llm.complete"]
    settings = {name: value for name, value in (span.attributes or {}).items() if name.startswith("gen_ai.request.")}
    assert settings == {"gen_ai.request.model": "claude-opus-5", "gen_ai.request.max_tokens": 9}


@pytest.mark.parametrize(
    "left_out",
    [openai.omit, openai.NOT_GIVEN, anthropic.omit, httpx2.USE_CLIENT_DEFAULT],
    ids=["openai's omit", "openai's NOT_GIVEN", "anthropic's omit", "the HTTP client's default"],
)
def test_what_an_sdk_leaves_out_deep_in_a_request_is_null_in_what_is_kept(left_out: object) -> None:
    asked = [{"role": "user", "content": [{"type": "text", "text": "hi", "cache": left_out}]}]
    kept = ContentGate(True).text(asked, "input")
    assert kept == '[{"role":"user","content":[{"type":"text","text":"hi","cache":null}]}]'
