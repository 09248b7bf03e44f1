"""What an exception's text may show: no keys, no passwords, and without content no echoed prompt."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.records.redact import HIDDEN, LONGEST, redact

SECRETS = [
    (
        "Client error for url 'https://host/v1beta/models?key=AIzaSyA1234567890abcdefghijk'",
        "AIzaSyA1234567890abcdefghijk",
    ),
    ("https://user:hunter22@proxy.example:8080/ refused", "hunter22"),
    ("GET /x?alt=sse&key=short1&other=2", "short1"),
    ("Incorrect API key provided: sk-proj-abcdef1234567890", "sk-proj-abcdef1234567890"),
    ("headers={'Authorization': 'Bearer abc.def-ghi_jkl'}", "abc.def-ghi_jkl"),
    ("x-api-key: sk-ant-api03-xyz_123", "sk-ant-api03-xyz_123"),
    ("x-goog-api-key=AbC123", "AbC123"),
    ("token eyJhbGciOi.eyJzdWIiOjEy.SflKxwRJSM rejected", "eyJhbGciOi.eyJzdWIiOjEy.SflKxwRJSM"),
    ("aws AKIAIOSFODNN7EXAMPLE is not valid", "AKIAIOSFODNN7EXAMPLE"),
    ("session of ASIAIOSFODNN7EXAMPLE ended", "ASIAIOSFODNN7EXAMPLE"),
    ("no such key: gsk_abcdefghijklmnop1234", "gsk_abcdefghijklmnop1234"),  # Groq
    ("no such key: xai-abcdefghijklmnop", "xai-abcdefghijklmnop"),
    ("no such key: hf_abcdefghijklmnop", "hf_abcdefghijklmnop"),
    ("no such key: AQ.Ab8RN6abcdefghijklmnop_qrs", "AQ.Ab8RN6abcdefghijklmnop_qrs"),  # Gemini's newer keys
    ("login ya29.a0AfH6SMBabcdefgh has expired", "ya29.a0AfH6SMBabcdefgh"),  # Vertex
    ("Incorrect API key provided: 0f3Xq8LmZ71.", "0f3Xq8LmZ71"),  # Mistral, Cohere: keys without a form
    ('{"api_key": "0f3Xq8LmZ71"}', "0f3Xq8LmZ71"),
    ("Ocp-Apim-Subscription-Key: 0f3Xq8LmZ71", "0f3Xq8LmZ71"),  # Azure
    ("https://s3/x?X-Amz-Credential=AK%2F1&X-Amz-Signature=fe5f80", "fe5f80"),
    ("https://s3/x?X-Amz-Security-Token=IQoJb3", "IQoJb3"),
    ("Set-Cookie: session=0f3Xq8LmZ71; Path=/", "0f3Xq8LmZ71"),
    ("aws_secret_access_key=wJalrXUtnFEMI/K7", "wJalrXUtnFEMI/K7"),
]
PROMPT = "Please tell my doctor about the pain that I have had since Monday"


@pytest.mark.parametrize("keeps_content", [False, True])
@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_no_secret_is_shown(text: str, secret: str, keeps_content: bool) -> None:
    shown = redact(text, keeps_content=keeps_content)
    assert secret not in shown
    assert HIDDEN in shown
    assert redact(shown, keeps_content=keeps_content) == shown  # an error's text goes by here more than once


@pytest.mark.parametrize(
    "text",
    [
        f"Invalid value: '{PROMPT}'. Supported values are: 'text' and 'image'.",
        f'Error code: 400 - {{"error": {{"message": "bad", "param": "{PROMPT}"}}}}',
        f"1 validation error for Chat\nmessages\n  Bad [type=list_type, input_value='{PROMPT}', input_type=str]",
    ],
)
def test_without_content_no_prompt_is_echoed(text: str) -> None:
    assert PROMPT not in redact(text, keeps_content=False)
    assert PROMPT in redact(text, keeps_content=True)


def test_what_helps_stays() -> None:
    text = "RateLimitError: Error code: 429 - {'type': 'requests', 'code': 'rate_limit_exceeded', 'param': None}"
    assert redact(text, keeps_content=False) == text


@given(st.text(alphabet="ab '\"`\\:/@?&=key-sktoken", max_size=400))
def test_any_text_is_read_and_no_text_grows_without_end(text: str) -> None:
    assert len(redact(text, keeps_content=False)) <= 12 * len(text) + 40


@pytest.mark.parametrize("piece", ["'", "\"'", "'a ", "://", "://a:", "Bearer ", "input=", "\\", "key=?key="])
def test_hostile_text_takes_no_longer_than_its_length_allows(piece: str) -> None:
    text = piece * (16 * LONGEST // len(piece))
    started = time.process_time()
    redact(text, keeps_content=False)
    assert time.process_time() - started < 5
