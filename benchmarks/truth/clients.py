"""What the application does in each scenario, as any application would write it. Runs in a peer's environment."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.truth import tool_server

ASKED: Any = [{"role": "user", "content": "What is the weather in Bergen?"}]
SERVER = Path(__file__).with_name("tool_server.py")
ELSEWHERE = "api.deepseek.com"
"""A server with OpenAI's protocol that is not OpenAI's."""


class Application:
    """The clients of one process.

    Args:
        urls: The simulators' base URLs.
        openai_module: What stands for `openai` where a peer is a wrapper.
        tools_module: Has `tool_client` and `tool_server` where a peer is an MCP library of its own.
    """

    def __init__(self, urls: dict[str, str], openai_module: Any = None, tools_module: Any = None) -> None:
        import anthropic
        import openai
        from google import genai
        from google.genai import types

        self.openai = openai_module or openai
        self.urls, self.types, self._tools = urls, types, tools_module
        self._anthropic, self._genai = anthropic, genai
        self._open: list[Any] = []
        self.loop = asyncio.new_event_loop()

    def o(self, kind: str = "OpenAI", **more: Any) -> Any:
        return getattr(self.openai, kind)(**{"base_url": self.urls["openai"], "api_key": "k", "max_retries": 2, **more})

    def a(self, kind: str = "Anthropic", **more: Any) -> Any:
        return getattr(self._anthropic, kind)(base_url=self.urls["anthropic"], api_key="k", **more)

    def g(self, **options: Any) -> Any:
        client = self._genai.Client(api_key="k", http_options={"base_url": self.urls["gemini"], **options})
        self._open.append(client)
        return client

    # whole answers

    def openai_chat(self, model: str = "gpt-5", **more: Any) -> None:
        self.o().chat.completions.create(model=model, messages=ASKED, **more)

    def openai_raw(self, model: str = "gpt-5") -> None:
        self.o().chat.completions.with_raw_response.create(model=model, messages=ASKED).parse()

    def openai_responses(self, model: str = "gpt-5", **more: Any) -> None:
        self.o().responses.create(model=model, input="What is the weather?", **more)

    def openai_embeddings(self) -> None:
        self.o().embeddings.create(model="text-embedding-3-small", input="weather")

    def anthropic_messages(self, model: str = "claude-haiku-4-5", **more: Any) -> None:
        self.a().messages.create(model=model, max_tokens=200, messages=ASKED, **more)

    def gemini_content(self, model: str = "gemini-2.5-flash") -> None:
        self.g().models.generate_content(model=model, contents="What is the weather?")

    def gemini_with_retries(self) -> None:
        retry = self.types.HttpRetryOptions(attempts=3, initial_delay=0.2, jitter=0, http_status_codes=[429])
        self.g(retry_options=retry).models.generate_content(model="gemini-2.5-flash", contents="What is the weather?")

    def gemini_functions(self, model: str = "gemini-2.5-flash") -> None:
        config = self.types.GenerateContentConfig(tools=[weather])
        self.g().models.generate_content(model=model, contents="Weather?", config=config)

    def gemini_chat(self) -> None:
        config = self.types.GenerateContentConfig(tools=[weather])
        self.g().chats.create(model="gemini-2.5-flash", config=config).send_message("Weather?")

    def openai_elsewhere(self) -> None:
        self._of(f"https://{ELSEWHERE}/v1").chat.completions.create(model="deepseek-chat", messages=ASKED)

    def openai_at(self, host: str, model: str, stream: bool = False) -> None:
        client = self._of(f"https://{host}/v1")
        if stream:
            list(client.chat.completions.create(model=model, messages=ASKED, stream=True))
        else:
            client.chat.completions.create(model=model, messages=ASKED)

    def openai_local(self, model: str, port: int = 11434) -> None:
        self._of(f"http://127.0.0.1:{port}/v1").chat.completions.create(model=model, messages=ASKED)

    def wire_chat(self, url: str, model: str, raw: bool = False) -> None:
        """A request without a vendor's client; `raw` reads the body as it was sent, compressed."""
        with httpx2.Client(transport=_Rerouted(self.urls["openai"], "/v1/chat/completions")) as client:
            asked = client.build_request("POST", url, json={"model": model, "messages": ASKED})
            answer = client.send(asked, stream=True)
            list(answer.iter_raw()) if raw else answer.read()
            answer.close()

    def anthropic_on_vertex(self, region: str, model: str) -> None:
        library: Any = import_module("httpx2" if version("anthropic") >= "2" else "httpx")
        base = httpx2.URL(self.urls["anthropic"])

        def send(asked: Any) -> Any:
            asked.url = asked.url.copy_with(scheme="http", host=base.host, port=base.port, path="/v1/messages")
            return transport.handle_request(asked)

        transport = library.HTTPTransport()
        over = library.Client(transport=library.MockTransport(send))
        vertex = self._anthropic.AnthropicVertex
        client = vertex(region=region, project_id="p", access_token="t", http_client=over, max_retries=0)
        client.messages.create(model=model, max_tokens=200, messages=ASKED)

    def openai_speech(self) -> None:
        self.o().audio.speech.create(
            model="gpt-4o-mini-tts", voice="alloy", input="What is the weather?", stream_format="sse"
        ).read()

    def openai_image(self) -> None:
        self.o().images.generate(model="dall-e-3", prompt="rain in Bergen", quality="hd", size="1792x1024")

    def openai_transcription(self) -> None:
        self.o().audio.transcriptions.create(model="whisper-1", file=("rain.wav", b"RIFF"))

    def _of(self, base_url: str) -> Any:
        """A client of another server, of which a simulator answers in its place."""
        over = httpx2.Client(transport=_Rerouted(self.urls["openai"]))
        return self.o(base_url=base_url, http_client=over, max_retries=0)

    def openai_once(self, **more: Any) -> None:
        self.o(max_retries=0, **more).chat.completions.create(model="gpt-5", messages=ASKED)

    def openai_timeout(self) -> None:
        self.openai_once(timeout=0.3)

    def openai_cancelled(self) -> None:
        async def run() -> None:
            async with self.o("AsyncOpenAI") as client, asyncio.timeout(0.3):
                await client.chat.completions.create(model="gpt-5", messages=ASKED)

        self.loop.run_until_complete(run())

    def openai_refused(self) -> None:
        self.o(base_url="http://127.0.0.1:9/v1", max_retries=1).chat.completions.create(model="gpt-5", messages=ASKED)

    def openai_twenty_tasks(self) -> None:
        async def run() -> None:
            async with self.o("AsyncOpenAI") as client:
                await asyncio.gather(
                    *(client.chat.completions.create(model="gpt-5", messages=ASKED) for _ in range(20))
                )

        self.loop.run_until_complete(run())

    def openai_background(self) -> None:
        client = self.o()
        begun = client.responses.create(model="gpt-5", input="What is the weather?", background=True)
        for _ in range(2):  # read again: it is still one answer
            client.responses.retrieve(begun.id)

    def openai_batch(self) -> None:
        client = self.o()
        for _ in range(2):
            client.batches.retrieve("batch_truth")

    def anthropic_batch(self, batch: str = "msgbatch_truth") -> None:
        client = self.a()
        for _ in range(2):
            list(client.messages.batches.results(batch))

    # streams

    def openai_stream(self, usage: bool = True) -> None:
        options: Any = {"stream_options": {"include_usage": True}} if usage else {}
        list(self.o().chat.completions.create(model="gpt-5", messages=ASKED, stream=True, **options))

    def responses_stream(self) -> None:
        list(self.o().responses.create(model="gpt-5", input="What is the weather?", stream=True))

    def anthropic_stream(self) -> None:
        list(self.a().messages.create(model="claude-haiku-4-5", max_tokens=200, messages=ASKED, stream=True))

    def anthropic_helper(self) -> None:
        with self.a().messages.stream(model="claude-haiku-4-5", max_tokens=200, messages=ASKED) as stream:
            for _ in stream.text_stream:
                pass

    def gemini_stream(self) -> None:
        list(self.g().models.generate_content_stream(model="gemini-2.5-flash", contents="What is the weather?"))

    def openai_closed_early(self) -> None:
        stream = self.o().chat.completions.create(model="gpt-5", messages=ASKED, stream=True)
        _read_some(stream)
        stream.close()

    def responses_closed_early(self) -> None:
        stream = self.o().responses.create(model="gpt-5", input="What is the weather?", stream=True)
        _read_some(stream)
        stream.close()

    def anthropic_closed_early(self) -> None:
        with self.a().messages.create(model="claude-haiku-4-5", max_tokens=200, messages=ASKED, stream=True) as stream:
            _read_some(stream)

    def gemini_closed_early(self) -> None:
        stream = self.g().models.generate_content_stream(model="gemini-2.5-flash", contents="What is the weather?")
        next(stream)
        stream.close()

    def openai_abandoned(self) -> None:
        stream = self.o().chat.completions.create(model="gpt-5", messages=ASKED, stream=True)
        next(iter(stream))
        del stream
        gc.collect()

    def openai_never_read(self) -> None:
        self.o().chat.completions.create(model="gpt-5", messages=ASKED, stream=True)
        gc.collect()

    # tools

    def tool(self, name: str = "add", arguments: Any = None) -> None:
        async def run() -> None:
            from benchmarks.truth.tool_server import make_server, tools

            if self._tools:
                opened = self._tools.tool_client(self._tools.tool_server(tools()))
            else:
                from mcp import Client

                opened = Client(make_server(), mode="legacy")
            async with opened as client:
                await client.list_tools()
                await client.call_tool(name, {"left": 1, "right": 2} if arguments is None else arguments)

        self.loop.run_until_complete(run())

    def tool_over_stdio(self, name: str, timeout: float | None = None) -> None:
        async def run() -> None:
            from mcp import Client, StdioServerParameters

            command = [sys.executable, str(SERVER)]
            if self._tools:
                opened, limit = self._tools.tool_client(command), "timeout"
            else:
                opened = Client(StdioServerParameters(command=command[0], args=command[1:]))
                limit = "read_timeout_seconds"
            async with opened as client:
                await client.list_tools()
                await client.call_tool(name, {}, **({} if timeout is None else {limit: timeout}))

        self.loop.run_until_complete(run())

    def tool_with_a_question(self) -> None:
        async def answer(context: Any, question: Any) -> Any:
            from mcp_types import ElicitResult

            return ElicitResult(action="accept", content={"name": "Bo"})

        async def run() -> None:
            from mcp import Client

            from benchmarks.truth.tool_server import make_asking_server

            async with Client(make_asking_server(), elicitation_callback=answer) as client:
                await client.call_tool("greet", {})

        self.loop.run_until_complete(run())

    def tool_over_http(self) -> None:
        async def run(url: str, server: Any) -> None:
            from mcp import Client

            async with Client(url) as client:
                await client.call_tool("add", {"left": 1, "right": 2})
                server.kill()
                server.wait()
                await client.call_tool("add", {"left": 1, "right": 2})

        with tool_server.over_http() as (url, server):
            self.loop.run_until_complete(run(url, server))

    def tool_refused(self) -> None:
        async def run() -> None:
            from mcp import Client

            for _ in range(3):
                with contextlib.suppress(Exception):
                    async with Client("http://127.0.0.1:9/mcp"):
                        pass

        self.loop.run_until_complete(run())

    def tool_given_up(self) -> None:
        async def run() -> None:
            from mcp import Client

            asked = asyncio.Event()
            silent = await asyncio.start_server(lambda reader, writer: asked.set(), "127.0.0.1", 0)
            async with silent:
                url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/mcp"
                connecting = asyncio.create_task(Client(url).__aenter__())
                await asked.wait()
                connecting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await connecting

        self.loop.run_until_complete(run())

    def run(self, action: str, arguments: dict[str, Any]) -> str:
        """Do it; returns what the application got: the exception's name, or nothing."""
        method: Callable[..., None] = getattr(self, action)
        try:
            method(**arguments)
        except BaseException as error:  # what it meets is part of the evidence
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            return type(error).__name__
        finally:
            gc.collect()
        return ""


def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def _read_some(stream: Any, pieces: int = 3) -> None:
    for index, _ in enumerate(stream):
        if index + 1 >= pieces:
            return


class _Rerouted(httpx2.HTTPTransport):
    """Sends what is meant for another host to a simulator.

    Args:
        base: The simulator's.
        path: Where it answers, if not under the path that was asked for.
    """

    def __init__(self, base: str, path: str = "") -> None:
        super().__init__()
        self._base, self._path = httpx2.URL(base), path

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        place = {"path": self._path} if self._path else {}
        request.url = request.url.copy_with(scheme="http", host=self._base.host, port=self._base.port, **place)
        return super().handle_request(request)
