"""One server's connection, owned by one task from its opening to its end, for as long as the client is open.

    connecting -> up       -> waiting -> connecting ...
    connecting -> (failed) -> waiting -> connecting ...

The owner task alone enters and leaves the SDK's client, whose cancel scopes must not be seen by anybody else. Callers
run their requests in tasks of their own and wait for them with a time limit, so a connection that breaks down under
them is an answer (an error of ours), never a cancellation.

The gauge `mcp_server_connections_active` goes up when the handshake is done and down in the very moment in which the
end is known: the pipe or the stream ends, the process has exited, the HTTP server's port refuses, or we close.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TextIO, TypeVar

from mcp import Client, MCPError
from mcp_types import DiscoverResult, ToolListChangedNotification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from tachograph.mcp.config import HTTPServer, ServerConfig, StdioServer
from tachograph.mcp.errors import STATUS_ADVICE, ServerUnavailableError, classify, unwrap
from tachograph.mcp.liveness import watch_port, watch_process
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.mcp.questions import Hook, elicitation, sampling
from tachograph.mcp.transports import EXCHANGE, Exchange, TransportWatch, open_transport
from tachograph.recorder import Recorder
from tachograph.records import ENGINE_MCP
from tachograph.records.outcomes import ToolOutcome
from tachograph.signals import semconv

logger = logging.getLogger("tachograph.mcp")

T = TypeVar("T")
State = Literal["connecting", "up", "waiting", "closed"]
Event = Literal["up", "down", "tools_changed"]

_STEADY_SECONDS: Final = 5.0
"""A connection that lived this long has proved itself: the backoff starts over."""
_IMMINENT_SECONDS: Final = 1.0
"""A server whose next attempt begins within this time counts as reachable when all servers are asked."""
_RETRY_GAP_SECONDS: Final = 0.2
"""Between two attempts lies this much, however many calls want the server."""
_LISTEN_SECONDS: Final = 1.0
"""Going up waits this long for the subscription to changes, so that none falls between it and the first listing."""
_LAST_WORDS_SECONDS: Final = 1.0
"""A call that a stdio server's death ended waits this long to learn of what it died."""
_CLOSE_SECONDS: Final = 7.0
"""The SDK gives a stdio server 2 s to leave, 2 s after SIGTERM, and 2 s after SIGKILL."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How connections behave. All in seconds.

    Attributes:
        connect_timeout: Longest handshake.
        read_timeout: Longest wait for an answer that has no limit of its own (listings).
        backoff_first, backoff_longest: Wait before the first and the later reconnections, doubling, with jitter.
        protocol: `auto`, `legacy` (the initialize handshake) or a protocol revision of the SDK.
        probe_interval: How often an idle HTTP server's port is looked at.
        errlog: Where stdio servers' standard error goes; None: to ours.
        elicitation: Answers a server's question to the user: gets the server's id and `mcp_types.ElicitRequestParams`,
            returns the fields of the answer, None to decline, or an `mcp_types.ElicitResult`.
        sampling: Lets a server have a model's answer: gets the server's id and
            `mcp_types.CreateMessageRequestParams`, returns text or an `mcp_types.CreateMessageResult`.
    """

    connect_timeout: float = 30.0
    read_timeout: float = 30.0
    backoff_first: float = 0.2
    backoff_longest: float = 30.0
    protocol: str = "auto"
    probe_interval: float = 0.5
    errlog: TextIO | int | None = None
    elicitation: Hook | None = None
    sampling: Hook | None = None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How one server's connection stands.

    Attributes:
        state: `connecting`, `up`, `waiting` (for the next attempt) or `closed`.
        error: Why it is not up, in words.
        pid: Process id of a stdio server that is up.
        protocol_version: As negotiated. session_id: of an HTTP session, where the protocol has them.
    """

    server_id: str
    state: State
    transport: str
    error: str | None = None
    pid: int | None = None
    protocol_version: str | None = None
    session_id: str | None = field(default=None, repr=False)


class Connection:
    """Keeps one server connected. Lives on the client's loop; nothing here may be called from elsewhere."""

    def __init__(
        self,
        config: ServerConfig,
        options: ConnectionOptions,
        recorder: Recorder,
        notify: Callable[[str, Event], None],
    ) -> None:
        self.config = config
        self._options = options
        self._recorder = recorder
        self._notify = notify
        recorder.metrics.part(MCPMetrics).server_known(config.id)
        self.facts: dict[str, str | int] = {semconv.NETWORK_TRANSPORT: "pipe"}
        if isinstance(config, HTTPServer):
            host, port = config.address
            self.facts = {
                semconv.NETWORK_TRANSPORT: "tcp",
                semconv.NETWORK_PROTOCOL: "http",
                semconv.SERVER_ADDRESS: host,
                semconv.SERVER_PORT: port,
            }
        self._client: Client | None = None
        self._watch: TransportWatch | None = None
        self._state: State = "connecting"
        self._reason: str | None = None
        self._advice: str | None = None  # what to do about it
        self._failures = 0  # attempts to connect that failed, ever
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()  # replaced at every change of state
        self._closing = asyncio.Event()
        self._wanted = asyncio.Event()  # a call waits for the next attempt, or we are closing
        self._poke = asyncio.Event()  # look at the server now
        self._listening = asyncio.Event()  # changes of the tools will be noticed, as far as they ever will
        self._handshake: asyncio.Timeout | None = None
        self._next_attempt_at = 0.0
        context = copy_context()
        context.run(ENGINE_MCP.set, True)
        self._owner = asyncio.create_task(self._own(), name=f"mcp:{config.id}", context=context)

    # What callers see.

    @property
    def status(self) -> ServerStatus:
        client, watch = self._client, self._watch
        return ServerStatus(
            self.config.id,
            self._state,
            self.config.transport,
            self._reason if client is None else None,
            watch.pid if client is not None and watch is not None else None,
            client.protocol_version if client is not None else None,
            watch.session_id if client is not None and watch is not None else None,
        )

    @property
    def is_up(self) -> bool:
        """Whether it is connected now."""
        return self._client is not None

    @property
    def is_reachable(self) -> bool:
        """Whether it is up, or about to be."""
        return self._state in ("up", "connecting") or self._is_imminent()

    async def attempt_ended(self) -> None:
        """Return when the attempt under way has ended, well or not."""
        while self._state == "connecting":
            await self._changed.wait()

    async def request(
        self, operation: Callable[[Client], Awaitable[T]], timeout: float, exchange: Exchange | None = None
    ) -> T:
        """Run one request when the connection is up.

        Raises:
            TimeoutError: No answer within `timeout` seconds, waiting for the connection included.
            ServerUnavailableError: Not connected, and not about to be.
            Exception: What the MCP client raises.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        client = await self._wait_until_up(deadline)
        watch = self._watch
        exchange = exchange or Exchange()
        exchange.seconds = timeout
        context = copy_context()
        context.run(EXCHANGE.set, exchange)
        context.run(ENGINE_MCP.set, True)
        # In a task of its own: what the SDK cancels is that task, and giving up on it takes no longer than asked.
        task: asyncio.Task[T] = asyncio.create_task(_await(operation, client), context=context)
        try:
            done, _ = await asyncio.wait({task}, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        except asyncio.CancelledError:
            task.cancel()
            task.add_done_callback(_forget)
            raise
        if not done:
            task.cancel()
            task.add_done_callback(_forget)
            raise TimeoutError(f"no answer within {timeout:g} s")
        if task.cancelled():
            raise ServerUnavailableError(self.config.id, self._reason or "the connection broke down during the request")
        error = task.exception()
        if error is not None and watch is not None and classify(error) == "connection":
            why = await watch.last_words(_LAST_WORDS_SECONDS)
            if why:
                raise ServerUnavailableError(self.config.id, why) from error
        return task.result()

    async def close(self) -> None:
        """Say goodbye to the server and end; a server that does not leave is killed."""
        self._closing.set()
        self._wanted.set()
        self._end("closed by us")  # not by cancelling: the SDK would leave a process behind that it is stopping
        done, _ = await asyncio.wait({self._owner}, timeout=_CLOSE_SECONDS)
        if not done:
            self._owner.cancel()
            await asyncio.wait({self._owner}, timeout=1.0)

    # The owner task.

    async def _own(self) -> None:
        quick_ends = 0
        loop = asyncio.get_running_loop()
        try:
            while not self._closing.is_set():
                self._set_state("connecting")
                opened_at = loop.time()
                was_up = await self._serve()
                quick_ends = 1 if was_up and loop.time() - opened_at >= _STEADY_SECONDS else quick_ends + 1
                doubled = self._options.backoff_first * 2.0 ** min(quick_ends - 1, 20)
                seconds = min(self._options.backoff_longest, doubled) * random.uniform(0.75, 1.0)
                self._next_attempt_at = loop.time() + seconds
                self._wanted.clear()
                self._set_state("waiting")
                gap = min(seconds, _RETRY_GAP_SECONDS)
                if not await _wait(self._closing, gap):
                    await _wait(self._wanted, seconds - gap)
        finally:
            self._set_state("closed")

    async def _serve(self) -> bool:
        """One life of the connection. Returns whether it was ever up."""
        self._ended.clear()
        self._poke.clear()
        was_up = timed_out = False
        watch = self._watch = TransportWatch(self._end, self._suspect)
        exchange = Exchange()
        EXCHANGE.set(exchange)
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._options.connect_timeout) as self._handshake:
                    client = await stack.enter_async_context(
                        Client(
                            open_transport(self.config, watch, self._options.errlog),
                            mode=self._options.protocol,
                            read_timeout_seconds=self._options.read_timeout,
                            message_handler=self._on_message,
                            elicitation_callback=elicitation(self.config.id, self._options.elicitation),
                            sampling_callback=sampling(self.config.id, self._options.sampling),
                            cache=None,
                        )
                    )
                    if self._options.protocol in MODERN_PROTOCOL_VERSIONS:
                        # Nothing has been sent until here: ask the server, so that "up" is true.
                        answer = await client.session.send_discover(self._options.protocol)
                        client.session.adopt(DiscoverResult.model_validate(answer))
                self._handshake = None
                monitors = self._monitors(client, watch)
                try:
                    await _wait(self._listening, _LISTEN_SECONDS)
                    was_up = self._went_up(client)
                    await self._ended.wait()
                finally:
                    self._went_down("the connection broke down")
                    for monitor in monitors:
                        monitor.cancel()
        except (Exception, asyncio.CancelledError) as raised:
            self._handshake = None
            task = asyncio.current_task()
            if isinstance(raised, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            if was_up:
                logger.debug("closing the connection to MCP server %r raised", self.config.id, exc_info=raised)
            else:
                timed_out = self._failed_to_connect(unwrap(raised), exchange)
        if self._closing.is_set():
            return was_up
        if timed_out:  # the signal that then ended its process was the SDK's
            words = await watch.last_line(_LAST_WORDS_SECONDS)
            self._reason = f"{self._reason}: {words}" if words else self._reason
        elif words := await watch.last_words(0.2 if was_up else _LAST_WORDS_SECONDS):
            self._reason = words if was_up else f"cannot connect: {words}"
        return was_up

    def _went_up(self, client: Client) -> bool:
        self._recorder.metrics.part(MCPMetrics).connect_ended(self.config.id, "success")
        if not self._ended.is_set():  # else it died in the moment of the handshake
            self._recorder.metrics.part(MCPMetrics).connection_opened(self.config.id)
            self._client, self._reason = client, None
            facts = {**self.facts, semconv.MCP_PROTOCOL_VERSION: client.protocol_version}
            facts.pop(semconv.MCP_SESSION_ID, None)
            if self._watch is not None and self._watch.session_id is not None:
                facts[semconv.MCP_SESSION_ID] = self._watch.session_id
            self.facts = facts  # replaced whole: other threads read it
            self._set_state("up")
            self._notify(self.config.id, "up")
        return True

    def _went_down(self, why: str) -> None:
        """Exactly once per life, for the first that learns of the end."""
        if self._client is None:
            return
        self._client = None
        self._reason = self._reason or why
        self._next_attempt_at = asyncio.get_running_loop().time() + self._options.backoff_first
        self._recorder.metrics.part(MCPMetrics).connection_closed(self.config.id)
        self._set_state("waiting")
        self._notify(self.config.id, "down")
        if not self._closing.is_set():
            logger.info("MCP server %r: connection lost: %s", self.config.id, self._reason)

    def _end(self, why: str) -> None:
        if self._ended.is_set():
            return
        self._reason = why
        self._ended.set()
        self._went_down(why)
        if self._handshake is not None:
            with suppress(RuntimeError):  # its time has run out already, or it has failed: the transport is closing
                self._handshake.reschedule(asyncio.get_running_loop().time())

    def _suspect(self, why: str) -> None:
        self._poke.set()

    def _failed_to_connect(self, error: BaseException, exchange: Exchange) -> bool:
        """Count it and say why; returns whether there was no answer in time."""
        timed_out = not self._ended.is_set() and classify(error) == "timeout"
        outcome: ToolOutcome = "cancelled" if self._closing.is_set() else "timeout" if timed_out else "error"
        self._recorder.metrics.part(MCPMetrics).connect_ended(self.config.id, outcome)
        self._failures += 1
        self._advice = STATUS_ADVICE.get(exchange.status or 0)
        if isinstance(error, FileNotFoundError) and isinstance(self.config, StdioServer):
            cwd = self.config.cwd
            missing = cwd if cwd is not None and not os.path.isdir(cwd) else self.config.command
            self._reason = f"cannot be started: {missing!r} does not exist"
        elif exchange.status is not None and exchange.status >= 400:
            self._reason = f"cannot connect: the server answered HTTP {exchange.status}"
        elif self._ended.is_set():
            self._reason = f"cannot connect: {self._reason}"
        elif timed_out:
            allowed = min(self._options.connect_timeout, self._options.read_timeout)
            self._reason = f"no handshake within {allowed:g} s"
        else:
            cause = exchange.error or error
            self._reason = f"cannot connect: {str(cause) or type(cause).__name__}"
        logger.info("MCP server %r: %s", self.config.id, self._reason)
        return timed_out

    # Waiting and watching.

    def _set_state(self, state: State) -> None:
        self._state = state
        self._changed.set()
        self._changed = asyncio.Event()

    def _is_imminent(self) -> bool:
        return self._state == "waiting" and (
            self._next_attempt_at - asyncio.get_running_loop().time() <= _IMMINENT_SECONDS
        )

    async def _wait_until_up(self, deadline: float) -> Client:
        """The client, as soon as there is one: by the attempt under way, or by one that is made now."""
        loop = asyncio.get_running_loop()
        failures = self._failures
        while self._client is None:
            if self._state == "closed" or self._closing.is_set():
                raise ServerUnavailableError(self.config.id, "the connection is closed")
            if self._state == "waiting":
                if self._failures > failures:
                    seconds = max(0.0, self._next_attempt_at - loop.time())
                    again = f"It is tried again when a call needs it, and in {seconds:.1f} s"
                    do = again if self._advice is None else f"{self._advice}. {again}"
                    raise ServerUnavailableError(self.config.id, self._reason or "not connected", do=do)
                self._wanted.set()
            if not await _wait(self._changed, deadline - loop.time()):
                why = f": {self._reason}" if self._reason else ""
                raise ServerUnavailableError(self.config.id, f"not connected in the time allowed{why}")
        return self._client

    def _monitors(self, client: Client, watch: TransportWatch) -> list[asyncio.Task[None]]:
        tasks = []
        if watch.process is not None:
            tasks.append(watch_process(watch.process, self._end))
        if isinstance(self.config, HTTPServer):
            tasks.append(watch_port(self.config.url, self._options.probe_interval, watch, self._poke, self._end))
        tools = client.server_capabilities.tools
        if tools is not None and tools.list_changed and client.protocol_version in MODERN_PROTOCOL_VERSIONS:
            self._listening.clear()
            tasks.append(self._listen(client))
        else:
            self._listening.set()
        return [asyncio.create_task(task) for task in tasks]

    async def _listen(self, client: Client) -> None:
        """Learn of changed tools where the protocol needs a subscription; `_on_message` gets them where it does not."""
        wait = self._options.backoff_first
        while True:
            try:
                async with client.listen(tools_list_changed=True) as subscription:
                    wait = self._options.backoff_first
                    if self._listening.is_set():
                        self._notify(self.config.id, "tools_changed")  # perhaps, while there was no listener
                    self._listening.set()
                    async for _ in subscription:
                        self._notify(self.config.id, "tools_changed")
            except MCPError as error:
                if classify(error) == "validation":
                    return  # the server offers no subscriptions
            except Exception as error:  # noqa: BLE001 - the subscription is tried again as long as the connection lives
                logger.debug("MCP server %r: subscription lost: %s", self.config.id, error)
            finally:
                self._listening.set()
            self._poke.set()
            await asyncio.sleep(wait)
            wait = min(wait * 2, self._options.backoff_longest)

    async def _on_message(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification) and self._client is not None:
            self._notify(self.config.id, "tools_changed")


async def _await(operation: Callable[[Client], Awaitable[T]], client: Client) -> T:
    return await operation(client)


def _forget(task: asyncio.Task[Any]) -> None:
    """Look at how an abandoned request ended, so that asyncio does not log it as unretrieved."""
    if not task.cancelled():
        task.exception()


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event came in time."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        return False
    return True
