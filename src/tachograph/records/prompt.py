"""What a prompt is made of, as numbers: enough to know one again, and nothing of what it says.

The numbers are Python's own hashes, with a key that each process draws: they mean nothing outside this process, and a
text that the application keeps (a conversation that grows) is hashed only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

from tachograph.records.reservation import ELSEWHERE, as_mapping

_TURNS: Final = ("messages", "input", "contents", "prompt")
_SYSTEM: Final = ("system", "instructions")
_STORED: Final = (*ELSEWHERE, "prompt", "cached_content", "cachedContent")
"""Where a request names a part of its prompt that the vendor keeps."""
_NOT_THE_QUESTION: Final = frozenset(
    {*_SYSTEM, "tools", "stream", "stream_options", "metadata", "user", "store", "extra_headers", "timeout"}
)


class Prompt(NamedTuple):
    """A request, by its hashes.

    Attributes:
        prefixes: Of the tools and the system prompt, then of these with one, two, ... and all turns.
        sizes: The length of each prefix, in characters as in `size`.
        whole: Of all of the request that the answer depends on.
        size: Its length, in characters of the tools, the system prompt and the turns as Python writes them.
        tools: Name and length of each tool definition.
        asked: The tool calls since the last question that came after an answer, in order, each by name and arguments;
            of those that were the same, only those since one brought something new.
        used: Names of the tools that the conversation has called.
        is_whole: Whether all of the prompt is here: the vendor keeps no part of it.
    """

    prefixes: tuple[int, ...]
    sizes: tuple[int, ...]
    whole: int
    size: int
    tools: tuple[tuple[str, int], ...]
    asked: tuple[int, ...]
    used: frozenset[str]
    is_whole: bool


def prompt_of(body: object) -> Prompt | None:
    """Read a request: the body of any vendor's API, google-genai's keyword arguments, or our engine's Request."""
    body = as_mapping(body)
    if body is None:
        return None
    config = body.get("config")
    rest: Any = body if config is None else {**body, **_fields(config)}
    where = next((name for name in _TURNS if body.get(name) is not None), None)
    if where is None:
        return None
    turns = body[where]
    size = 0
    system = next((rest[name] for name in (*_SYSTEM, "system_instruction") if rest.get(name) is not None), None)
    tools = tuple(_tools(rest.get("tools")))
    mark, length = _digest((system, rest.get("tools")))
    size += length
    prefixes, sizes = [mark], [size]
    history = _History()
    used: set[str] = set()
    is_answered = False
    for turn in turns if isinstance(turns, (list, tuple)) else (turns,):
        turn_mark, length = _digest(turn)
        size += length
        mark = hash((mark, turn_mark))
        prefixes.append(mark)
        sizes.append(size)
        if type(turn) is not str:
            calls = list(_asked(turn))
            used.update([name for _, name, _ in calls])
            role = _get(turn, "role")
            if is_answered and role == "user":
                history = _History()  # the next question: asking the same for it is no loop
            is_answered = not calls and (role in ("assistant", "model") or (is_answered and role != "user"))
            history.add(calls, turn)
    if body.get("conversation") is not None:  # it grows at the vendor's: the same words later are another question
        mark = hash((mark, perf_counter_ns()))
    stored = [name for name in _STORED if name != where or isinstance(turns, Mapping)]
    is_whole = all(rest.get(name) is None for name in stored)
    other = [(name, value) for name, value in rest.items() if name not in _NOT_THE_QUESTION and name != where]
    whole = hash((mark, _digest(other)[0]))
    return Prompt(tuple(prefixes), tuple(sizes), whole, size, tools, tuple(history.asked), frozenset(used), is_whole)


class _History:
    """The tool calls for one question, each by name and arguments, and what they brought.

    An agent that waits for a job asks the same until the answer is another one: a call that brings something new is
    counted as the first.
    """

    __slots__ = ("_found", "_open", "asked")

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._open: dict[object, int] = {}
        self._found: dict[int, int] = {}

    def add(self, calls: Iterable[tuple[object, str, Any]], turn: object) -> None:
        """Note what a turn asks for, and what it brings."""
        for key, name, arguments in calls:
            mark = hash((name, _digest(arguments)[0]))
            self._open[key or name] = mark
            self.asked.append(mark)
        if not self._open:
            return
        for key, content in _brought(turn):
            call = self._open.pop(key, None)
            if call is None:
                continue
            brought = _digest(content)[0]
            if self._found.setdefault(call, brought) != brought:
                self._found[call] = brought
                last = len(self.asked) - 1 - self.asked[::-1].index(call)
                self.asked = [one for at, one in enumerate(self.asked) if one != call or at == last]


def _fields(config: object) -> Mapping[str, Any]:
    if isinstance(config, Mapping):
        return config
    return {name: value for name, value in (getattr(config, "__dict__", None) or {}).items() if value is not None}


def _digest(part: Any) -> tuple[int, int]:
    """A part's hash and its length."""
    kind = type(part)
    if kind is str or kind is bytes:
        return hash(part), len(part)
    if kind is dict:
        marks, size = [], 0
        for key, value in part.items():
            mark, length = (hash(value), len(value)) if type(value) is str else _digest(value)
            marks.append((key, mark))
            size += length + len(key)
        return hash(tuple(marks)), size
    if kind is list or kind is tuple:
        found = [_digest(one) for one in part]
        return hash(tuple([mark for mark, _ in found])), sum([length for _, length in found])
    if part is None or kind in (int, float, bool):
        return hash((kind.__name__, part)), 4
    inner = getattr(part, "__dict__", None)
    if inner:
        return _digest({name: value for name, value in inner.items() if value is not None})
    slots = getattr(kind, "__slots__", None)
    if slots:
        return _digest({name: getattr(part, name, None) for name in slots})
    return hash(repr(part)), 8


def _tools(tools: object) -> Iterable[tuple[str, int]]:
    """Name and length of each definition; of Gemini's, which come in groups, of each function."""
    for tool in tools if isinstance(tools, (list, tuple)) else ():
        own: Any = tool if isinstance(tool, Mapping) else _fields(tool)
        grouped = own.get("function_declarations") or own.get("functionDeclarations")
        for one in grouped or (tool,):
            function = one if isinstance(one, Mapping) else _fields(one) or one
            inner = function.get("function") if isinstance(function, Mapping) else None
            name = _get(inner or function, "name") or getattr(one, "__name__", None) or _get(function, "type")
            yield str(name or ""), _digest(one)[1]


def _asked(turn: object) -> Iterable[tuple[object, str, Any]]:
    """The tool calls that a turn of the conversation holds: id, where there is one, name and arguments."""
    if _get(turn, "type") == "function_call":  # OpenAI's Responses API
        yield _get(turn, "call_id"), str(_get(turn, "name")), _get(turn, "arguments")
        return
    for call in _get(turn, "tool_calls") or ():  # Chat Completions
        function = _get(call, "function")
        yield _get(call, "id"), str(_get(function, "name")), _get(function, "arguments")
    for part in _parts(turn):
        if _get(part, "type") == "tool_use":  # Anthropic's Messages
            yield _get(part, "id"), str(_get(part, "name")), _get(part, "input")
        elif type(part) is not str:
            call = _get(part, "function_call") or _get(part, "functionCall")  # Gemini
            if call is not None:
                yield _get(call, "id"), str(_get(call, "name")), _get(call, "args")
            elif type(part).__name__ == "ToolRequest":  # our engine's
                yield part.id, str(part.name), part.arguments


def _brought(turn: object) -> Iterable[tuple[object, Any]]:
    """What a turn says that tool calls brought: the call's id (Gemini's may have only a name) and the content."""
    if _get(turn, "type") == "function_call_output":
        yield _get(turn, "call_id"), _get(turn, "output")
        return
    if _get(turn, "role") == "tool" and _get(turn, "tool_call_id") is not None:
        yield _get(turn, "tool_call_id"), _get(turn, "content")
        return
    for part in _parts(turn):
        if _get(part, "type") == "tool_result":
            yield _get(part, "tool_use_id"), _get(part, "content")
        elif type(part) is not str:
            answer = _get(part, "function_response") or _get(part, "functionResponse")
            if answer is not None:
                yield _get(answer, "id") or _get(answer, "name"), _get(answer, "response")
            elif type(part).__name__ == "ToolResult":
                yield part.id, part.content


def _parts(turn: object) -> Iterable[Any]:
    parts = _get(turn, "content") or _get(turn, "parts")
    return parts if isinstance(parts, (list, tuple)) else ()


def _get(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
