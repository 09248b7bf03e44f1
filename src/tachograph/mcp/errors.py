"""What can go wrong with a tool call: one table that sorts every failure into a kind, and our exceptions.

The kinds (`connection`, `validation`, `execution`, `timeout`) answer who has to act: the operator of the server, the
author of the arguments, the author of the tool, or the one who set the time limit. Nothing here imports the MCP SDK:
exceptions are known by class name and code, so that a watched client of any origin is sorted by the same table.
"""

from __future__ import annotations

import re
from operator import methodcaller
from typing import TYPE_CHECKING, ClassVar, Final

from tachograph.errors import TachographError
from tachograph.records.outcomes import ErrorKind, ToolOutcome

if TYPE_CHECKING:
    from tachograph.mcp.result import MCPToolResult

CODE_KINDS: Final[dict[int, ErrorKind]] = {
    -32700: "validation",  # parse error
    -32600: "validation",  # invalid request
    -32601: "validation",  # method not found
    -32602: "validation",  # invalid params, unknown tool
    -32603: "execution",  # internal error
    -32000: "connection",  # connection closed (SDK-local, where the text says so)
    -32001: "timeout",  # request timed out (SDK-local, where the text says so)
    -32020: "validation",  # header mismatch
    -32021: "validation",  # missing required client capability
    -32022: "connection",  # no protocol version in common
    32600: "connection",  # mcp 1: "Session terminated", for HTTP 404
    408: "timeout",  # mcp 1: request timed out (SDK-local)
}
"""JSON-RPC error codes; every other code is the server's own, and an `execution` error.

Source: JSON-RPC 2.0 section 5.1, mcp_types 2.3 `jsonrpc.py`, read 2026-11-23; mcp 1.30 `shared/session.py` and
`client/streamable_http.py`, read 2026-11-27.
"""

STATUS_KINDS: Final[dict[int, ErrorKind]] = {
    401: "connection",
    403: "connection",
    404: "connection",  # wrong address, or the session is gone
    407: "connection",
    408: "timeout",
    429: "connection",
    502: "connection",
    503: "connection",
    504: "timeout",
}
"""HTTP statuses. Other 4xx refuse the request itself (`validation`); other 5xx are the server failing (`execution`).

A status of this table comes before a JSON-RPC code of the same answer: servers on the TypeScript SDK answer an unknown
session by 404 with code -32001, which is a timeout elsewhere.
"""

_LOCAL_CODES: Final = (-32000, -32001, 408)
"""Codes that the SDK itself makes of a request without an answer: what broke below it says more."""

_CONNECTION_WORDS: Final = re.compile(r"connection|stream|session|closed|disconnect|unavailable|rate limit", re.I)
_TIME_WORDS: Final = re.compile(r"time(d[ -]?|[ -])?out", re.I)
"""What the texts of the codes -32000 and -32001 say where they are the SDKs' own. Servers use both for errors of theirs
(fastmcp's middleware: "Permission denied", "Not found", "Request timeout", "Global rate limit exceeded")."""

_STATUS_LOST: Final = {
    (-32603, "Server returned an error response"),
    (-32601, "Not Found"),
    (-32600, "Session terminated"),
}
"""What the SDK says for an HTTP error whose body was no JSON-RPC error: here the status is more exact than the code."""

STATUS_ADVICE: Final[dict[int, str]] = {
    401: 'Give the server\'s credentials in "headers" of its mcpServers entry',
    403: "The credentials are known but not allowed; ask the operator of the server",
    404: 'Check the server\'s "url"; an old server may need "type": "sse"',
    429: "The server limits how often it may be called; call it less often",
}

_CONNECT_TIMED_OUT: Final = (408, "Timed out while waiting for response.")
"""What fastmcp 2 to 4 makes of a ConnectTimeout (`utilities/exceptions.py`)."""

_SESSION_LOST: Final = re.compile(
    r"(Bad Request: )?(Session (terminated|not found)|No valid session ID provided|Server not initialized)", re.I
)
"""What servers say to a session that they do not know (any more): those of the Python SDK, of the TypeScript SDK (one
that keeps a single session was started again: "not initialized"), and of its examples, which many were copied from."""

_TOOL_TIMED_OUT: Final = re.compile(r"(Error calling tool '[^']*': )?Tool '[^']*' (execution )?timed out after [\d.]+")
"""fastmcp's words for a tool that exceeded its own `timeout` (`tools/function_tool.py`, 4.1)."""

_UPSTREAM_LOST: Final = re.compile(
    r"(Error calling tool '[^']*': )?(MCP error -32000: )?"
    r"(Connection closed$|Client failed to connect\b|Client is not connected\b|All connection attempts failed$)"
)
"""What a proxy says of the server behind it (fastmcp's, also the one that joins the servers of a configuration)."""

_UNKNOWN_TOOL: Final = re.compile(r"Unknown tool\b|MCP error -32602: Tool .* (not found|disabled)$")
"""Texts with which servers (mcp 1 and 2, fastmcp, TypeScript SDK) say that they have no such tool."""

_BAD_ARGUMENTS: Final = re.compile(
    r"(Error executing tool [^:]*: )?\d+ validation errors? for (\w+Arguments\b|call\[)"
    r"|MCP error -32602: |Input validation error:"
)
"""Texts with which servers (mcp 1 and 2, fastmcp, TypeScript SDK) refuse arguments to a tool they never ran."""


def kind_of_status(status: int) -> ErrorKind:
    """The kind of an HTTP error status."""
    return STATUS_KINDS.get(status) or ("validation" if status < 500 else "execution")


def kind_of_error_result(text: str) -> ErrorKind:
    """The kind of a result with `isError`: `execution`, unless the server says that it refused or stopped it."""
    if _BAD_ARGUMENTS.match(text) or _UNKNOWN_TOOL.match(text):
        return "validation"
    if _UPSTREAM_LOST.match(text):
        return "connection"
    return "timeout" if _TOOL_TIMED_OUT.match(text) else "execution"


def is_unknown_tool(error: BaseException | str | None) -> bool:
    """Whether a failed call says that there is no such tool: its name may be a model's invention."""
    if isinstance(error, UnknownToolError):
        return True
    text = error if isinstance(error, str) else _code_and_message(error)[1] if error is not None else ""
    return _UNKNOWN_TOOL.match(text) is not None


def says_session_lost(body: object) -> bool:
    """Whether the body of an HTTP error says that the server does not know the session. The SDK drops what it says."""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return isinstance(message, str) and _SESSION_LOST.match(message) is not None


def outcome_of_kind(kind: ErrorKind) -> ToolOutcome:
    return "timeout" if kind == "timeout" else "error"


def unwrap(error: BaseException) -> BaseException:
    """The one exception inside nested exception groups, or the error itself."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


def classify(
    error: BaseException, status: int | None = None, transport_error: BaseException | None = None
) -> ErrorKind:
    """Sort a failure of a tool call into its kind.

    Args:
        error: What the MCP client raised.
        status: HTTP status of the call's own request, where one was seen.
        transport_error: What happened below the MCP client (httpx2), where it was seen.
    """
    error = unwrap(error)
    names = {base.__name__ for base in type(error).__mro__}
    code, message = _code_and_message(error)
    if code is not None and names & {"MCPError", "McpError"}:
        if code in _LOCAL_CODES and transport_error is not None:
            return classify(transport_error)
        if (kind := _kind_of_answer(code, message, status)) is not None:
            return kind
        return CODE_KINDS.get(code, "execution")
    if isinstance(error, ToolError):
        return error.kind
    for kind, its_names, its_types in _KINDS_OF_EXCEPTIONS:
        if names & its_names or isinstance(error, its_types):
            return kind
    if "HTTPStatusError" in names:
        return kind_of_status(error.response.status_code)  # type: ignore[attr-defined]
    return _kind_of_runtime_error(error) if isinstance(error, RuntimeError) else "execution"


_KINDS_OF_EXCEPTIONS: Final[tuple[tuple[ErrorKind, frozenset[str], tuple[type[BaseException], ...]], ...]] = (
    ("connection", frozenset({"ServerUnavailableError", "ClientClosedError", "ConnectTimeout", "PoolTimeout"}), ()),
    ("timeout", frozenset({"TimeoutException"}), (TimeoutError,)),
    ("connection", frozenset({"RequestError", "CancelledError"}), (OSError, EOFError)),
    ("connection", frozenset({"BrokenResourceError", "ClosedResourceError", "EndOfStream"}), ()),
    ("validation", frozenset({"ValidationError"}), ()),  # a result does not fit the protocol
)
"""Kind, names of classes (of httpx, anyio and pydantic, which may not be installed), types; the first that fits."""


def _kind_of_runtime_error(error: RuntimeError) -> ErrorKind:
    if str(error).startswith(_CLIENT_IS_DOWN):
        cause = classify(error.__cause__) if error.__cause__ is not None else "connection"
        return cause if cause != "execution" else "connection"
    # What the SDK raises when a result does not fit the tool's output schema.
    return "validation" if "structured content" in str(error) else "execution"


_CLIENT_IS_DOWN: Final = (
    "Client is not connected",
    "Client failed to connect",
    "Failed to initialize server session",
    "Server session was closed unexpectedly",
    "Session task completed",
)
"""How fastmcp's client begins a RuntimeError of a connection that failed or ended (`client/client.py` of 2.14, 4.1)."""


def _code_and_message(error: BaseException) -> tuple[int | None, str]:
    """JSON-RPC code and message of the SDK's error, of mcp 2 (`MCPError`) or mcp 1 (`McpError`)."""
    told = error if hasattr(error, "code") else getattr(error, "error", error)
    code = getattr(told, "code", None)
    return code if isinstance(code, int) else None, str(getattr(told, "message", None) or error)


def _missing_hook(error: BaseException, code: int | None, message: str) -> str | None:
    """Which of our hooks a server asked for and that is not there: `elicitation` or `sampling`."""
    if code == -32021:  # missing client capability
        told = getattr(error, "data", None)
        wanted = told.get("requiredCapabilities", {}) if isinstance(told, dict) else {}
        return next((name for name in ("elicitation", "sampling") if name in wanted), None)
    found = re.match(r"(Elicitation|Sampling) not supported$", message)
    return found[1].lower() if found else None


_NOT_JSON: Final = re.compile("Failed to parse (JSON response|SSE message)", re.I)
"""How the SDK begins an error that quotes the answer (`client/streamable_http.py` of 2.3)."""


def _broken_answer(error: BaseException) -> str | None:
    """What is wrong with an answer that is none of the protocol's, without what it says: that may be content."""
    if _NOT_JSON.match(str(error)):
        return "the answer is no JSON-RPC message"
    if type(error).__name__ != "ValidationError" or not hasattr(error, "errors"):
        return None
    parts = methodcaller("errors", include_input=False)(error)[:3]
    found = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in parts]
    return f"the answer does not fit the protocol: {'; '.join(found)}"


def _kind_of_answer(code: int, message: str, status: int | None) -> ErrorKind | None:
    """The kind of a JSON-RPC error where its HTTP status or its text is more exact than its code; else None."""
    if _SESSION_LOST.match(message) or (code, message) == _CONNECT_TIMED_OUT:
        return "connection"
    if status is not None and 300 <= status < 400:
        return "connection"  # mcp 2 does not follow a redirect to another place
    if status is None or status < 400:
        return _kind_of_text(code, message) if code in (-32000, -32001) else None
    if (code, message) in _STATUS_LOST or code not in CODE_KINDS or code in _LOCAL_CODES:
        return kind_of_status(status)
    if code == -32601 and status == 404:
        return None  # the answer of protocol 2026-07-28 to an unknown method
    return STATUS_KINDS.get(status)


def _kind_of_text(code: int, message: str) -> ErrorKind | None:
    """The kind of an error by a code that the SDKs and servers use alike; None where the SDK made it."""
    says_connection = _CONNECTION_WORDS.search(message) is not None
    if _TIME_WORDS.search(message):
        return "timeout" if code == -32001 or not says_connection else None
    if says_connection:
        return None if code == -32000 else "connection"
    return "execution"


class ConfigError(TachographError):
    """The `mcpServers` configuration says something that cannot be."""


class ServerUnavailableError(TachographError):
    """A server is not connected, and could not be within the time allowed."""

    def __init__(self, server_id: str, what: str, *, do: str | None = None) -> None:
        super().__init__(what, where=f"MCP server {server_id!r}", do=do)
        self.server_id = server_id


class ToolError(TachographError):
    """A tool call failed.

    Attributes:
        kind: connection, validation, execution or timeout.
        server_id, tool_name: Which tool.
        result: What the server answered, when it answered with an error result; else None.
        status: HTTP status, where one was seen. code: JSON-RPC error code, where there was one.
    """

    kind: ClassVar[ErrorKind] = "execution"

    def __init__(
        self,
        what: str,
        *,
        server_id: str = "",
        tool_name: str = "",
        do: str | None = None,
        result: MCPToolResult | None = None,
        status: int | None = None,
        code: int | None = None,
    ) -> None:
        of_tool = f"tool {tool_name!r} of " if tool_name else ""
        super().__init__(what, where=f"{of_tool}MCP server {server_id!r}" if server_id else None, do=do)
        self.server_id = server_id
        self.tool_name = tool_name
        self.result = result
        self.status = status
        self.code = code


class ToolConnectionError(ToolError, ConnectionError):
    """The server could not be reached, refused us, or went away."""

    kind = "connection"


class ToolValidationError(ToolError):
    """The call was refused before it ran, or its answer broke the tool's own schema."""

    kind = "validation"


class UnknownToolError(ToolValidationError, LookupError):
    """No server, or not this one, has a tool of this name."""


class AmbiguousToolError(ToolValidationError, LookupError):
    """Several servers have a tool of this name, and none was chosen."""


class ToolExecutionError(ToolError):
    """The tool ran and failed; `result` holds what it said."""

    kind = "execution"


class ToolTimeoutError(ToolError, TimeoutError):
    """The tool did not answer in time."""

    kind = "timeout"


ERROR_OF_KIND: Final[dict[ErrorKind, type[ToolError]]] = {
    "connection": ToolConnectionError,
    "validation": ToolValidationError,
    "execution": ToolExecutionError,
    "timeout": ToolTimeoutError,
}


def tool_error(
    error: BaseException,
    server_id: str,
    tool_name: str,
    *,
    status: int | None = None,
    transport_error: BaseException | None = None,
) -> ToolError:
    """Our exception for what the MCP client raised; the caller raises it `from` the original."""
    error = unwrap(error)
    if isinstance(error, ToolError):
        return error
    kind = classify(error, status, transport_error)
    code, message = _code_and_message(error)
    what = str(getattr(error, "what", "") or message or type(error).__name__)
    do: str | None = getattr(error, "do", None)
    if (hook := _missing_hook(error, code, message)) is not None:
        what, do = f"the tool needs {hook}: {what}", f"Give ConnectionOptions({hook}=...)"
    elif status is not None and status >= 400:
        what, do = f"the server answered HTTP {status}: {what}", STATUS_ADVICE.get(status)
    elif (broken := _broken_answer(error)) is not None:
        what = broken
    elif transport_error is not None and kind == "connection":
        what = f"the server gave no answer that could be read: {transport_error or type(transport_error).__name__}"
    return ERROR_OF_KIND[kind](
        what,
        server_id=server_id,
        tool_name=tool_name,
        do=do,
        status=status,
        code=code,
    )
