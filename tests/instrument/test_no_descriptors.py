"""Where a process has no file descriptor left, `instrument()` says so, and the application goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_APPLICATION = """
import os, resource, sys
import httpx2, openai
import tachograph
from tachograph.signals.exposition import write

transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json={
    "id": "1", "object": "chat.completion", "created": 1, "model": "gpt-5",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
}))
client = openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=transport))
ask = lambda: client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "?"}])
ask()  # what openai imports late

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for _ in range(int(sys.argv[1])):
    os.close(taken.pop())

tachograph.instrument()
assert ask().choices[0].message.content == "ok"
for descriptor in taken:
    os.close(descriptor)
tachograph.instrument()
ask()
for line in write(tachograph.get_recorder().metrics.collect()).splitlines():
    if line.startswith("llm_call_seconds_count{") and 'outcome="success"' in line:
        print(line)
"""


@pytest.mark.parametrize(("left", "seen"), [(0, 1), (1, 2), (2, 2)])
def test_an_application_without_free_descriptors_goes_on_and_is_watched_when_it_has_some(
    tmp_path: Path, left: int, seen: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _APPLICATION, str(left)],
        env={"TACHOGRAPH_LEDGER_DATA_DIR": str(tmp_path), "HOME": str(tmp_path)}, cwd=tmp_path, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert ("Too many open files" in done.stderr) == (left == 0)
    assert done.stdout.rstrip().endswith(f" {seen}")
