"""`tachograph run` and `tachograph doctor`, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from support.exhaustive import part
from support.servers import free_port_server
from tachograph.usage.stores import open_store
from tachograph.usage.stores.query import Query
from tachograph_demo.simulators import Answer, ServedUsage, Simulators, Unauthorized

CHAT = """
import os, sys, pickle
import openai

def main():
    client = openai.OpenAI(base_url=os.environ["SIMULATOR"], api_key="any", max_retries=0)
    asked = [{"role": "user", "content": "hello"}]
    answer = client.chat.completions.create(model="gpt-5", messages=asked)
    print(type(answer).__qualname__, answer.choices[0].message.content, answer.usage.total_tokens)
    assert pickle.loads(pickle.dumps(answer)) == answer
    stream = client.chat.completions.create(model="gpt-5", messages=asked, stream=True)
    print(type(stream).__qualname__, isinstance(stream, openai.Stream), [len(chunk.choices) for chunk in stream])
    with client.chat.completions.with_streaming_response.create(model="gpt-5", messages=asked) as response:
        print(type(response).__qualname__, response.json()["usage"])
    print(client.responses.create)
    print(__name__, __file__, sys.argv[1:], os.path.basename(sys.path[0]))
    client.chat.completions.create(model="refused", messages=asked)

if __name__ == "__main__":
    main()
"""
PROBE = "import openai\nfrom tachograph.instrument import report\nprint(len(report.client('openai').hooked))\n"


def execute(*command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=240, check=False
    )


def watched(*command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tachograph", "run", "--", *command)


def test_a_program_does_the_same_bare_and_watched(tmp_path: Path, simulators: Simulators) -> None:
    (tmp_path / "chat.py").write_text(CHAT)
    simulators.openai.always(Answer(text="a b c", usage=ServedUsage(prompt=9, completion=3)))
    simulators.openai.always(Unauthorized(), when=lambda request: request.model == "refused")
    there = {"SIMULATOR": simulators.openai.url, "TACHOGRAPH_INSTRUMENT_INCLUDE_USAGE": "always"}
    bare = execute(sys.executable, "chat.py", "x", folder=tmp_path, **there)
    ours = execute(*watched(sys.executable, "chat.py", "x"), folder=tmp_path, **there)
    assert bare.returncode == ours.returncode == 1
    assert _plain(ours.stdout) == _plain(bare.stdout)
    assert ours.stderr.splitlines()[-1] == bare.stderr.splitlines()[-1]
    assert [line for line in ours.stderr.splitlines() if "chat.py" in line] == [
        line for line in bare.stderr.splitlines() if "chat.py" in line
    ]
    assert len(simulators.served) == 8


def _plain(text: str) -> list[str]:
    return [line for line in text.splitlines() if " at 0x" not in line]


@pytest.mark.parametrize("how", part(["script", "module", "code", "options", "shell"], "module", "shell"))
def test_programs_are_watched_however_they_are_started(tmp_path: Path, how: str) -> None:
    (tmp_path / "probe.py").write_text(PROBE + "import sys; sys.exit(7)\n")
    command = {
        "script": [sys.executable, "probe.py"],
        "module": [sys.executable, "-m", "probe"],
        "code": [sys.executable, "-c", PROBE + "raise SystemExit(7)"],
        "options": [sys.executable, "-u", "probe.py"],
        "shell": ["sh", "-c", f"{sys.executable} probe.py"],
    }[how]
    result = execute(*watched(*command), folder=tmp_path)
    assert (result.stdout, result.returncode) == ("4\n", 7), result.stderr


def test_workers_are_watched_whether_forked_or_spawned(tmp_path: Path) -> None:
    (tmp_path / "batch.py").write_text(
        "import multiprocessing\n"
        "def look(_):\n    import openai\n    from tachograph.instrument import report\n"
        "    return len(report.client('openai').hooked)\n"
        "if __name__ == '__main__':\n"
        "    for method in ('fork', 'spawn', 'forkserver'):\n"
        "        with multiprocessing.get_context(method).Pool(1) as pool:\n"
        "            print(method, pool.map(look, [0]))\n"
    )
    result = execute(*watched(sys.executable, "batch.py"), folder=tmp_path)
    assert result.stdout == "fork [4]\nspawn [4]\nforkserver [4]\n", result.stderr


SERVICE = """
import os
import openai
from tachograph.instrument import report

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = f"{os.getpid()} {len(report.client('openai').hooked)}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [f"{os.getpid()} {len(report.client('openai').hooked)}".encode()]
"""


@pytest.mark.parametrize("server", part(["uvicorn", "gunicorn"], "gunicorn"))
def test_every_worker_of_a_server_is_watched(tmp_path: Path, server: str) -> None:
    (tmp_path / "service.py").write_text(SERVICE)
    command = {
        "uvicorn": ["-m", "uvicorn", "service:app", "--workers", "2", "--port"],
        "gunicorn": ["-m", "gunicorn", "service:wsgi", "--workers", "2", "--bind"],
    }[server]
    with free_port_server(
        lambda port: [*watched(sys.executable), *command, f"127.0.0.1:{port}" if server == "gunicorn" else str(port)],
        folder=tmp_path,
    ) as url:
        answers = set()
        for _ in range(40):
            with urllib.request.urlopen(url, timeout=60) as response:
                answers.add(response.read().decode())
        assert {answer.split()[1] for answer in answers} == {"4"}


def test_opentelemetry_instrument_finds_us(tmp_path: Path, simulators: Simulators) -> None:
    """Beside whatever other instrumentors it finds: in the ledger the call stands once."""
    (tmp_path / "app.py").write_text(
        "import os, openai\n"
        "client = openai.OpenAI(base_url=os.environ['SIMULATOR'], api_key='any')\n"
        "asked = [{'role': 'user', 'content': 'hello'}]\n"
        "print(client.chat.completions.create(model='gpt-5', messages=asked).usage.total_tokens)\n"
    )
    simulators.openai.always(Answer(text="a b c", usage=ServedUsage(prompt=9, completion=3)))
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    off = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    script = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    app = (sys.executable, "app.py")
    result = execute(script, *app, folder=tmp_path, SIMULATOR=simulators.openai.url, TACHOGRAPH_LEDGER_URL=url, **off)
    assert (result.stdout, result.returncode) == ("12\n", 0), result.stderr
    store = open_store(url, read_only=True)
    rows = list(store.rows(Query()))
    store.close()
    assert [(row.provider, row.model, row.input_tokens, row.output_tokens) for row in rows] == [
        ("openai", "gpt-5", 9, 3)
    ]


def test_only_the_command_itself_says_that_tachograph_is_not_installed_for_it(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "other")], check=True, timeout=120)
    other = str(tmp_path / "other" / "bin" / "python")
    direct = execute(*watched(other, "-c", "print(1)"), folder=tmp_path, PYTHONPATH="")
    assert (direct.returncode, direct.stdout) == (0, "1\n")
    assert direct.stderr == f"tachograph: not installed for {other}, which runs unwatched\n"
    child = execute(*watched("/bin/sh", "-c", f"{other} -c 'print(1)'; true"), folder=tmp_path, PYTHONPATH="")
    assert (child.returncode, child.stdout, child.stderr) == (0, "1\n", "")


def test_a_mistake_is_told_in_one_line(tmp_path: Path) -> None:
    for command in (["no-such-program"], [sys.executable, "no-such-file.py"], []):
        result = execute(*watched(*command), folder=tmp_path)
        assert result.returncode == 2
        assert result.stderr.startswith("tachograph run: there is no ")
        assert "Traceback" not in result.stderr


def test_the_doctor_proves_that_calls_are_seen(tmp_path: Path) -> None:
    result = execute(sys.executable, "-m", "tachograph", "doctor", "--json", folder=tmp_path)
    found = json.loads(result.stdout)
    assert (found["well"], result.returncode) == (True, 0), result.stdout
    proofs = {finding["name"]: finding["state"] for finding in found["findings"] if finding["topic"] == "proof"}
    assert proofs == {"openai": "ok", "anthropic": "ok", "google-genai": "ok", "mcp": "ok"}


def test_the_doctor_says_no_when_a_client_is_left_out(tmp_path: Path) -> None:
    for library in ("cohere", "vertexai"):
        (tmp_path / f"{library}.py").write_text("")
    result = execute(
        sys.executable, "-m", "tachograph", "doctor", folder=tmp_path, PYTHONPATH=str(tmp_path),
        TACHOGRAPH_INSTRUMENT_CLIENTS="openai,mcp",
    )  # fmt: skip
    assert result.returncode == 1
    assert "NO  anthropic: nothing of it is hooked" in result.stdout
    assert "NO  cohere: its calls are not seen: instrument.clients leaves `wire` out" in result.stdout


def test_the_doctor_names_each_client_whose_calls_nobody_sees(tmp_path: Path) -> None:
    for library in ("cohere", "vertexai"):
        (tmp_path / f"{library}.py").write_text("")
    program = (
        "import sys; from tachograph.cli import main; from tachograph.instrument import checkup;"
        "checkup.PROOFS.clear(); sys.exit(main(['doctor']))"
    )
    result = execute(sys.executable, "-c", program, folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert "ok  cohere: its calls to known hosts are seen in httpx" in result.stdout
    assert "NO  vertexai: its calls are not seen: it sends over gRPC" in result.stdout
    assert "All is well" not in result.stdout
    assert result.returncode == 1
