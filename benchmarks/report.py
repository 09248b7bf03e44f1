"""The tables, in Markdown, out of the plain data that the benchmarks leave."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.environments import BY_NAME

QUESTIONS = {
    "calls": "how many calls",
    "requests": "how many requests, retries included",
    "rate_limited": "how many were rate limited",
    "wait_seconds": "seconds waited",
    "input_tokens": "prompt tokens",
    "output_tokens": "completion tokens",
    "cache_read": "read from a cache",
    "cache_write": "written to a cache",
    "reasoning": "reasoning tokens",
    "audio_input": "audio in",
    "audio_output": "audio out",
    "tool_prompt": "put in by tools",
    "cost_usd": "US dollars",
    "unpriced": "that the price is not known",
    "errors": "errors",
    "outcome": "how it ended",
    "error_type": "why it failed",
    "first_token_seconds": "seconds to the first content",
    "provider": "which provider",
    "tool_calls": "tool calls",
    "tool_errors": "tool errors",
    "usage_mismatch": "that the report contradicts itself",
    "connects_failed": "failed connects",
    "connects_given_up": "connects given up",
    "quality": "how far the cost can be relied on",
}
GETS_WRONG = {
    "otel": (
        "A stream that breaks off without its last event is reported as a success, one closed early as a success and "
        "one abandoned as an error of the provider. Gemini's second request in an automatic function call hides "
        "the first one's tokens, tool-use tokens are left out, a spent quota is reported as a rate limit, and nothing "
        "is said about cost or waits."
    ),
    "openllmetry": (
        "Streams of Anthropic count one output token too many (the first event's), Gemini's thinking tokens are "
        "left out, and broken-off streams, OpenAI's failed responses too, are reported as successes. A cancelled call, "
        "and an Anthropic stream that was closed early or met an error, leave no span at all; its MCP part does "
        "not start with mcp 2."
    ),
    "openinference": (
        "Every background response that is read twice counts twice, broken-off streams are reported as successes, and "
        "a cancelled call as an error. Its first token of an OpenAI stream is the framing event, not content; "
        "`next()` on a Gemini stream raises TypeError under it."
    ),
    "logfire": (
        "Broken-off, failed and abandoned streams are all reported as successes, even where the client raised. Its "
        "costs, by genai-prices, are right but for the flex and priority tiers, Anthropic's fast mode and residency, "
        "which it prices as standard, cached tokens of Moonshot, and what a proxy states; Gemini has none."
    ),
    "openlit": (
        "A stream closed early or failed leaves no span, and a stream without usage gets guessed tokens as if they "
        "were billed. An unknown model costs 0 dollars, Gemini's thinking and Anthropic's cached prompt tokens are "
        "left out of the totals, and its first token is the framing event. Streams whose usage stands elsewhere "
        "(Moonshot, Groq) get guessed tokens, and a model on this machine costs 0 dollars."
    ),
    "langfuse": (
        "A cancelled call and a stream never read leave no span; streams that broke off or failed are reported as "
        "successes. It prices nothing itself (its server does, which is not part of this run), and its first token "
        "is the framing event."
    ),
    "native": (
        "What anthropic and mcp report is right but for a tool server that exits during a call, whose span ends as if "
        "the call had gone well. OpenAI and Gemini report nothing, and none reports cost."
    ),
    "fastmcp": (
        "Its spans of tool calls are all right, a dead server and a timeout included. It has nothing but tools."
    ),
}
"""Two sentences on each peer, from the table; look again when it changes."""
COMMON = (
    "All of OpenTelemetry GenAI, OpenLLMetry, OpenInference, Logfire, OpenLIT and Langfuse leave out the reasoning "
    "that xAI and Gemini's OpenAI endpoint report outside of the completion, tell a stream that ends in `error`, or is "
    "cut after empty finish reasons, as a success, and take a Gemini chat's message with a function for two calls."
)
"""What the table says of all of them."""
_MARK = {"right": "right", "missing": "-", "wrong": "**wrong**"}


def truth_summary(results: dict[str, Any]) -> list[str]:
    """How many questions each one answered, and how."""
    lines = ["| watched by | right | missing | wrong | of |", "|---|---|---|---|---|"]
    for name, result in results.items():
        if "problem" in result:
            lines.append(f"| {BY_NAME[name].title} | could not be run: {_one_line(result['problem'])} | | | |")
            continue
        counts = {word: sum(v["verdict"] == word for v in result["verdicts"]) for word in _MARK}
        lines.append(
            f"| {BY_NAME[name].title} | {counts['right']} | {counts['missing']} | {counts['wrong']} "
            f"| {len(result['verdicts'])} |"
        )
    return lines


def truth_words(results: dict[str, Any]) -> list[str]:
    """What each peer gets wrong, in words."""
    lines = [f"- **{BY_NAME[name].title}**{_note(name)}: {GETS_WRONG[name]}" for name in results if name in GETS_WRONG]
    return [COMMON, "", *lines]


def _note(name: str) -> str:
    return f" ({BY_NAME[name].note})" if BY_NAME[name].note else ""


def truth_table(results: dict[str, Any]) -> list[str]:
    """Every question of every scenario, with what each peer said where it was not right."""
    names = [name for name, result in results.items() if "verdicts" in result]
    by_key = {name: {(v["scenario"], v["question"]): v for v in results[name]["verdicts"]} for name in names}
    lines = [
        "| scenario | question | truth | " + " | ".join(BY_NAME[name].title.split(":")[0] for name in names) + " |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for scenario, question in by_key[names[0]] if names else ():
        cells = []
        for name in names:
            verdict = by_key[name].get((scenario, question))
            if verdict is None:
                cells.append("")
            elif verdict["verdict"] == "wrong":
                cells.append(f"**{_one_line(verdict['answered'])}**" if verdict["answered"] else "**nothing**")
            else:
                cells.append(_MARK[verdict["verdict"]])
        first = by_key[names[0]][scenario, question]
        lines.append(
            f"| {scenario} | {QUESTIONS.get(question, question)} | {first['expected']} | " + " | ".join(cells) + " |"
        )
    return lines


_ROWS = (
    ("sync:openai", "openai chat"),
    ("sync:anthropic", "anthropic messages"),
    ("sync:gemini", "gemini generate_content"),
    ("async:openai", "openai, async"),
    ("async:anthropic", "anthropic, async"),
    ("async:gemini", "gemini, async"),
    ("tool", "MCP call_tool"),
)
_MORE = (
    ("background", "in the background, us a call"),
    ("chunk:openai", "openai chunk, us"),
    ("chunk:anthropic", "anthropic chunk, us"),
    ("bytecodes call:openai", "bytecodes: openai call"),
    ("bytecodes call:anthropic", "anthropic call"),
    ("bytecodes call:gemini", "gemini call"),
    ("bytecodes chunk:openai", "openai chunk"),
    ("bytecodes chunk:anthropic", "anthropic chunk"),
    ("tasks", "100 tasks: calls per CPU second, of bare"),
    ("start_up_ms", "start-up, CPU ms"),
    ("memory calls_mb", "memory after 10,000 calls, MB"),
    ("memory models_mb", "and with 1,000 models, MB more"),
)
_CHEAPER = "\u2020"
_MEMORY_NOISE_MB = 2.0
_BACKGROUND_NOISE_US = 2.0
_WHY_CHEAPER = {
    (
        "openllmetry",
        "gemini",
    ): "it wraps the method alone; ours watches each request beneath, too, for retries and functions"
}
"""Found by looking at what is done there."""


def cost_tables(results: dict[str, Any]) -> list[str]:
    """CPU microseconds added to each kind of call, then all the rest; one line for each peer."""
    cheaper = _cheaper(results)
    return [*_cost_table(results, _ROWS, cheaper), "", *_cost_table(results, _MORE, cheaper)]


def _cost_table(
    results: dict[str, Any], columns: tuple[tuple[str, str], ...], cheaper: dict[tuple[str, str], float]
) -> list[str]:
    shown = [
        (key, title) for key, title in columns if any(_number(result, key) is not None for result in results.values())
    ]
    lines = ["| watched by | " + " | ".join(title for _, title in shown) + " |", "|---|" + "---|" * len(shown)]
    for name, result in results.items():
        title = "bare against bare: the noise" if name == "bare" else BY_NAME[name].title
        if "problem" in result:
            lines.append(f"| {title} | could not be run: {_one_line(result['problem'])} |")
            continue
        cells = [_cell(result, key) + (f" {_CHEAPER}" if (name, key) in cheaper else "") for key, _ in shown]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _number(result: dict[str, Any], key: str) -> float | None:
    """One figure, wherever it stands."""
    group, _, rest = key.partition(" ")
    found = result.get(group)
    if isinstance(found, dict):
        found = found.get(rest or "added")
    return float(found) if isinstance(found, int | float) else None


def _cell(result: dict[str, Any], key: str) -> str:
    group = key.partition(" ")[0]
    figure = result.get(group)
    if isinstance(figure, dict) and figure.get("problem"):
        return f"fails: {_one_line(figure['problem'])[:60]}"
    number = _number(result, key)
    if number is None:
        return "-"
    if group == "bytecodes":
        return f"{number:,.0f}"
    if group in ("tasks",) or key.startswith("chunk"):
        return f"{number:.2f}"
    if group == "memory":
        return f"{number:.1f}"
    if not isinstance(figure, dict):
        return f"{number:.0f}"
    if group == "background":
        return f"{number:.0f} [{figure['low']:.0f}, {figure['high']:.0f}]"
    spread = f" [{figure['low']:.0f}, {figure['high']:.0f}]" if figure.get("low") is not None else ""
    return f"{number:.0f} ({(figure['bare'] + number) / figure['bare']:.2f}){spread}"


def alone_tables(alone: dict[str, Any]) -> list[str]:
    """Imports and scrapes."""
    lines = ["| | CPU ms |", "|---|---|"]
    lines += [f"| `{name}` | {ms:.0f} |" for name, ms in alone["imports"].items()]
    lines += ["", "| /metrics with | lines | bytes | ms | prometheus_client, ms |", "|---|---|---|---|---|"]
    for name, scrape in alone["scrapes"].items():
        theirs = f"{scrape['prometheus_client_ms']:.0f}" if scrape["prometheus_client_ms"] else "-"
        lines.append(f"| {name} | {scrape['lines']:,} | {scrape['bytes']:,} | {scrape['ms']:.1f} | {theirs} |")
    return lines


_CALLS: Final = tuple(f"sync:{sdk}" for sdk in ("openai", "anthropic", "gemini"))
_BEHIND: Final = "background"
"""Is added to the others of its line."""
_BUDGETS: Final = (
    ("a call, metrics and ledger on: us", "tachograph", _CALLS, 25),
    ("the same, and what other threads do for it: us", "tachograph", (*_CALLS, _BEHIND), 25),
    ("the same and a sampled span: us", "tachograph_spans", _CALLS, 60),
    ("the same, span not sampled: us", "tachograph_unsampled", _CALLS, 40),
    ("a streamed chunk: instructions", "tachograph", ("bytecodes chunk:openai", "bytecodes chunk:anthropic"), 20),
    ("a streamed chunk: us", "tachograph", ("chunk:openai", "chunk:anthropic"), 0.3),
    ("MCP tool call, its client: us", "tachograph_tools", ("tool",), 15),
    ("the same, ledger and span on: us", "tachograph_tools_spans", ("tool",), 110),
    ("100 tasks: calls per CPU second, of bare (at least)", "tachograph", ("tasks",), 0.95),
    ("memory after 10,000 calls: MB", "tachograph_spans", ("memory calls_mb",), 10),
    ("and with 1,000 models: MB", "tachograph_spans", ("memory models_mb",), 20),
)
"""What we want to cost at most."""


def budget_table(cost: dict[str, Any]) -> list[str]:
    """What we wanted to cost, and what we cost in this run: openai, anthropic, gemini, where there are several."""
    lines = ["| what | budget | here | |", "|---|---|---|---|"]

    def add(what: str, budget: float, found: list[float]) -> None:
        is_met = min(found) >= budget if "at least" in what else max(found) <= budget
        lines.append(f"| {what} | {budget:g} | {', '.join(f'{one:.3g}' for one in found)} | {'' if is_met else 'no'} |")

    for what, name, keys, budget in _BUDGETS:
        result = cost["peers"].get(name, {})
        behind = (_number(result, _BEHIND) or 0.0) if _BEHIND in keys else 0.0
        found = [number + behind for key in keys if key != _BEHIND and (number := _number(result, key)) is not None]
        if found:
            add(what, budget, found)
    add("`import tachograph`: ms", 120, [cost["alone"]["imports"]["import tachograph"]])
    add("/metrics with 1,000 label sets: ms", 15, [cost["alone"]["scrapes"]["1000 label sets"]["ms"]])
    return lines


def _cheaper(results: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Cells where a peer that emits the same kinds of signals costs less than ours, and what ours costs."""
    found: dict[tuple[str, str], float] = {}
    for name, result in results.items():
        peer = BY_NAME[name]
        if name.startswith(("tachograph", "floor", "bare")) or "problem" in result:
            continue
        same = {"spans": "tachograph_span", "metrics spans": "tachograph_metrics_spans"}
        ours = results.get(same.get(" ".join(sorted(peer.emits)), ""), results.get("tachograph_spans", {}))
        for key, _ in (*_ROWS, *_MORE):
            side = results.get("tachograph_tools_span", ours) if key == "tool" and peer.tools else ours
            theirs, our = _number(result, key), _number(side, key)
            if theirs is None or our is None or (peer.watches and not any(word in key for word in peer.watches)):
                continue
            if key.startswith("memory") and abs(theirs - our) < _MEMORY_NOISE_MB:
                continue
            if key == "background" and abs(theirs - our) < _BACKGROUND_NOISE_US:
                continue
            if theirs > our if key == "tasks" else theirs < our:
                found[name, key] = our
    return found


def cheaper_words(results: dict[str, Any]) -> list[str]:
    """The same as sentences, one for each peer; what is within the noise of bare against bare is said to be so."""
    titles = dict((*_ROWS, *_MORE))
    lines: dict[str, list[str]] = {}
    for (name, key), our in _cheaper(results).items():
        theirs = _number(results[name], key)
        assert theirs is not None
        noise = _noise(results, key)
        said = f"{titles[key]}: {theirs:.4g}, ours {our:.4g}"
        if key == "tool" and BY_NAME[name].tools:
            said += f" (there it emits {BY_NAME[name].tools})"
        elif reason := _WHY_CHEAPER.get((name, key.partition(":")[2])):
            said += f" ({reason})"
        if abs(our - theirs) <= noise:
            said += " (within the noise)"
        lines.setdefault(name, []).append(said)
    return [f"- {BY_NAME[name].title} is cheaper than ours here: {'; '.join(said)}." for name, said in lines.items()]


def _noise(results: dict[str, Any], key: str) -> float:
    """The furthest that a round of bare against bare was off."""
    figure = results.get("bare", {}).get(key)
    if not isinstance(figure, dict) or figure.get("low") is None:
        return 0.0
    right = 1.0 if key == "tasks" else 0.0
    return max(abs(float(figure[end]) - right) for end in ("low", "high"))


def _one_line(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "/")[:120]
