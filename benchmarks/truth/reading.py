"""Reads answers out of what a peer emitted, as kindly as possible: any span, any metric, any name that could be meant.

An answer counts as right when one reading of one channel gives it. A peer that says two things is believed the better.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Reading:
    """One number or word that could be meant, and where it stood.

    Attributes:
        aside: It is about something else (a request beneath, another message of the protocol): it may be right, but
            no peer is called wrong for it.
    """

    value: Any
    where: str
    aside: bool = False


def _words(key: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", key.lower())


_CACHE = re.compile(r"cach")
_PARTS: dict[str, Callable[[str], bool]] = {
    "cache_read": lambda k: bool(_CACHE.search(k)) and not re.search(r"writ|creat|saving", k),
    "cache_write": lambda k: bool(_CACHE.search(k) and re.search(r"writ|creat", k)),
    "reasoning": lambda k: bool(re.search(r"reason(?!s)|thought|thinking", k)) and "finish" not in k,
    "audio_input": lambda k: "audio" in k and bool(re.search(r"input|prompt", k)),
    "audio_output": lambda k: "audio" in k and bool(re.search(r"output|completion", k)),
    "tool_prompt": lambda k: "tool" in k and "token" in k,
}
_IS_PART = re.compile(r"cach|reason|thought|thinking|audio|tool_use|detail.*(text|image)|_text_|_image_|modalit|time")
_INPUT = re.compile(r"(usage|token|tokens).*(input|prompt)|(input|prompt).*token")
_OUTPUT = re.compile(r"(usage|token|tokens).*(output|completion|candidates)|(output|completion|candidates).*token")
_COST = re.compile(r"(^|_)(cost|price)s?(_|$)")


def _is_input(key: str) -> bool:
    return bool(_INPUT.search(key)) and not _IS_PART.search(key) and not _COST.search(key)


def _is_output(key: str) -> bool:
    return bool(_OUTPUT.search(key)) and not _IS_PART.search(key) and not _COST.search(key)


def _flat(attributes: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Attributes as leaves; JSON in a string is looked into."""
    for key, value in attributes.items():
        name = f"{prefix}{key}"
        if isinstance(value, str) and value[:1] == "{":
            try:
                value = json.loads(value)
            except ValueError:
                yield name, value
                continue
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sums(spans: list[dict[str, Any]], wanted: Callable[[str], bool]) -> Iterator[Reading]:
    """Each wanted attribute, summed over each kind of span, and over all."""
    sums: dict[tuple[str, str], float] = {}
    for span in spans:
        for key, value in _flat(span["attributes"]):
            if _is_number(value) and wanted(_words(key)):
                for who in (f"{span['scope']}/{span['name']}", "all spans"):
                    sums[who, key] = sums.get((who, key), 0) + value
    for (who, key), value in sums.items():
        yield Reading(value, f"span {who}: {key}")


def _token_metrics(metrics: list[dict[str, Any]], wanted: Callable[[str], bool]) -> Iterator[Reading]:
    """Metrics about tokens, by their name and their token-type attribute."""
    sums: dict[str, float] = {}
    for point in metrics:
        if "token" not in point["name"]:
            continue
        kinds = [str(v) for k, v in point["attributes"].items() if "type" in k and "token" in k] or [""]
        number = point["sum"] if point["sum"] is not None else point["value"]
        for kind in kinds:
            if _is_number(number) and wanted(_words(f"{point['name']}_token_{kind}")):
                name = f"metric {point['name']}{{{kind}}}"
                sums[name] = sums.get(name, 0) + number
    for name, value in sums.items():
        yield Reading(value, name)


def maker(span: dict[str, Any]) -> str:
    """Who makes spans like this one: its scope and kind."""
    return f"{span['scope']} {span['kind']}"


_BESIDES = re.compile(r"server/discover|tools/list|initialize|\bping\b|notifications/")


def _is_aside(span: dict[str, Any]) -> bool:
    """Whether it is about an HTTP request beneath the call, or about another message than a tool's call."""
    return bool(
        _BESIDES.search(span["name"])
        or re.search(r"httpx|urllib|aiohttp", span["scope"])
        or (span["attributes"].get("mcp.method.name") or "tools/call") != "tools/call"
    )


def _groups(spans: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        found.setdefault(f"{span['scope']}/{span['name']} ({span['kind'].lower()})", []).append(span)
    return found


def _durations(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [p for p in metrics if p["count"] is not None and re.search(r"duration|latency|seconds", p["name"])]


def _counts(emitted: dict[str, Any]) -> Iterator[Reading]:
    groups = _groups(emitted["spans"])
    for who, spans in groups.items():
        yield Reading(len(spans), f"spans {who}", all(map(_is_aside, spans)))
    if len(groups) > 1:
        yield Reading(len(emitted["spans"]), "all spans", aside=True)
    sums: dict[str, int] = {}
    for point in _durations(emitted["metrics"]):
        sums[point["name"]] = sums.get(point["name"], 0) + point["count"]
    for point in emitted["metrics"]:
        if _is_number(point["value"]) and re.search(r"requests?$|calls?$|\.requests", point["name"]):
            sums[point["name"]] = sums.get(point["name"], 0) + point["value"]
    for name, count in sums.items():
        yield Reading(count, f"metric {name}: count", name.startswith("http."))


def _requests(emitted: dict[str, Any]) -> Iterator[Reading]:
    """Requests on the wire, retries included: said outright, by a resend count, or by one span or event each."""
    for span in emitted["spans"]:
        for key, value in _flat(span["attributes"]):
            words = _words(key)
            if _is_number(value) and re.search(r"resend|retr(y|ies)(_count)?$", words):
                yield Reading(value + 1, f"span {span['name']}: {key} + 1")
            elif _is_number(value) and "attempt" in words:
                yield Reading(value, f"span {span['name']}: {key}")
        events = [e for e in span["events"] if re.search(r"attempt|retry", e["name"])]
        if events:
            yield Reading(len(events), f"events of {span['name']}")
    for who, spans in _groups(emitted["spans"]).items():
        if any("http" in key for span in spans for key in span["attributes"]) or re.search(r"http|POST", who):
            yield Reading(len(spans), f"spans {who}")
    yield from (Reading(r.value, r.where) for r in _counts({"spans": [], "metrics": emitted["metrics"]}) if r.value > 1)


def _rate_limited(emitted: dict[str, Any]) -> Iterator[Reading]:
    """How many 429s are reported."""
    sign = re.compile(r"^429$|rate.?limit", re.I)
    found = 0
    for span in emitted["spans"]:
        found += any(sign.search(str(v)) for v in span["attributes"].values())
        found += sum(any(sign.search(str(v)) for v in e["attributes"].values()) for e in span["events"])
    if found:
        yield Reading(found, "spans and events that name it")
    for point in emitted["metrics"]:
        if any(sign.search(str(v)) for v in point["attributes"].values()) or sign.search(point["name"]):
            yield Reading(point["count"] or point["value"], f"metric {point['name']}")


def _waits(emitted: dict[str, Any]) -> Iterator[Reading]:
    sign = re.compile(r"wait|delay|backoff|sleep|retry_after")
    yield from _sums(emitted["spans"], lambda key: bool(sign.search(key)))
    for point in emitted["metrics"]:
        if sign.search(_words(point["name"])):
            yield Reading(point["sum"], f"metric {point['name']}")


def _costs(emitted: dict[str, Any]) -> Iterator[Reading]:
    yield from _sums(emitted["spans"], lambda key: bool(_COST.search(key)) and "ticks" not in key)
    sums: dict[str, float] = {}
    for point in emitted["metrics"]:
        if _COST.search(_words(point["name"])):
            number = point["sum"] if point["sum"] is not None else point["value"]
            sums[point["name"]] = sums.get(point["name"], 0.0) + (number or 0.0)
    for name, value in sums.items():
        yield Reading(value, f"metric {name}")


def _is_error(span: dict[str, Any]) -> bool:
    return span["status"] == "ERROR" or bool(span["attributes"].get("error.type"))


def _errors(emitted: dict[str, Any]) -> Iterator[Reading]:
    for who, spans in _groups(emitted["spans"]).items():
        yield Reading(sum(map(_is_error, spans)), f"status of {who}", all(map(_is_aside, spans)))
    sums: dict[str, int] = {}
    for point in _durations(emitted["metrics"]):
        sums[point["name"]] = sums.get(point["name"], 0) + (
            point["count"] if point["attributes"].get("error.type") else 0
        )
    for point in emitted["metrics"]:
        if re.search(r"error|exception|fail", point["name"]) and _is_number(point["value"]):
            sums[point["name"]] = sums.get(point["name"], 0) + point["value"]
    for name, count in sums.items():
        yield Reading(count, f"metric {name}", name.startswith("http."))


def _said_of_error(span: dict[str, Any]) -> str:
    said = [str(value) for key, value in span["attributes"].items() if re.search(r"error|exception|status", key)]
    for event in span["events"]:  # not the stack: it may hold any word
        said += [str(value) for key, value in event["attributes"].items() if "stack" not in key]
    return " ".join(said)


def _outcomes(emitted: dict[str, Any], ordinary: dict[str, str]) -> Iterator[Reading]:
    """Success, error, timeout or cancelled, out of status, error type and exception.

    A span left without the status that the same peer gives to ordinary successes is taken for "not a success".
    """
    for span in emitted["spans"]:
        where = f"status of {span['scope']}/{span['name']}: {span['status']}"
        aside = _is_aside(span)
        said = _said_of_error(span)
        if re.search(r"cancel|GeneratorExit|aborted|incomplete|closed early", said, re.I):
            yield Reading("cancelled", where, aside)
        elif _is_error(span):
            late = re.search(r"timeout|timed out|deadline|-32001", said, re.I)
            yield Reading("timeout" if late else "error", where, aside)
        else:
            usual = span["status"] == "OK" or ordinary.get(maker(span), "UNSET") != "OK"
            yield Reading("success" if usual else "cancelled", where, aside)
    for point in _durations(emitted["metrics"]):
        kind = str(point["attributes"].get("error.type") or "")
        if kind:
            late = re.search(r"timeout|deadline", kind, re.I)
            gone = re.search(r"cancel", kind, re.I)
            yield Reading("timeout" if late else "cancelled" if gone else "error", f"metric {point['name']}: {kind}")


_ERROR_WORDS = {
    "auth": r"auth|401|api.?key|permission",
    "quota": r"quota|billing|spend",
    "server_error": r"5\d\d|server.?error|overload|internal|unavailable",
    "invalid_request": r"bad.?request|invalid|400",
    "connection": r"connect",
}


def _error_types(emitted: dict[str, Any]) -> Iterator[Reading]:
    for span in emitted["spans"]:
        said = _said_of_error(span) if _is_error(span) else ""
        where = f"error of {span['scope']}/{span['name']}: {said[:80]}"
        for word, sign in _ERROR_WORDS.items():
            if re.search(sign, said, re.I):
                yield Reading(word, where, _is_aside(span))
        if said:
            yield Reading(said[:40], where, _is_aside(span))


def _first_tokens(emitted: dict[str, Any]) -> Iterator[Reading]:
    sign = re.compile(r"(first|completion_start).*(token|chunk|content|event|response|time)|ttft|time_to_first")
    for span in emitted["spans"]:
        for key, value in _flat(span["attributes"]):
            if not sign.search(_words(key)):
                continue
            if _is_number(value):
                scale = 1e3 if value > 30 else 1.0  # milliseconds
                yield Reading(value / scale, f"span {span['name']}: {key}", "chunk" in key)  # of a chunk: it says so
            elif isinstance(value, str):
                try:
                    moment = datetime.fromisoformat(value.strip('"').replace("Z", "+00:00")).timestamp()
                except ValueError:
                    continue
                yield Reading(moment - span["started"], f"span {span['name']}: {key}")
        for event in span["events"]:
            if sign.search(_words(event["name"])):
                yield Reading(event["at"] - span["started"], f"event {event['name']}")
    for point in emitted["metrics"]:
        if sign.search(_words(point["name"])) and point["sum"] is not None:
            yield Reading(point["sum"] / (point["count"] or 1), f"metric {point['name']}", "chunk" in point["name"])


def _providers(emitted: dict[str, Any]) -> Iterator[Reading]:
    for span in emitted["spans"]:
        for key, value in span["attributes"].items():
            if re.search(r"provider|gen_ai\.system$|llm\.(system|vendor)|server\.address|host|base_url", key):
                yield Reading(str(value), f"span {span['name']}: {key}")


def _last_of_each(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of several spans that name the same answer, the last: by its id one can tell that it is one answer."""
    found: dict[Any, dict[str, Any]] = {}
    for span in spans:
        found[span["attributes"].get("gen_ai.response.id") or id(span)] = span
    return list(found.values())


def read(
    question: str, emitted: dict[str, Any], ordinary: dict[str, str] | None = None, *, reads_again: bool = False
) -> list[Reading]:
    """Every reading of one question, the most prominent first.

    Args:
        question: Its name.
        emitted: Spans and metrics of one scenario.
        ordinary: The statuses of the same peer's spans of ordinary successes, by `maker`.
        reads_again: One answer was read several times; spans that name it are taken once.
    """
    if reads_again:
        emitted = {**emitted, "spans": _last_of_each(emitted["spans"])}
    return sorted(_read(question, emitted, ordinary or {}), key=lambda reading: reading.aside)


def _read(question: str, emitted: dict[str, Any], ordinary: dict[str, str]) -> list[Reading]:
    spans, metrics = emitted["spans"], emitted["metrics"]
    if question in ("input_tokens", "output_tokens"):
        wanted = _is_input if question == "input_tokens" else _is_output
        return [*_sums(spans, wanted), *_token_metrics(metrics, wanted)]
    if question in _PARTS:
        return [*_sums(spans, _PARTS[question]), *_token_metrics(metrics, _PARTS[question])]
    if question == "unpriced":  # saying nothing about cost is missing; saying 0 dollars is wrong
        return [Reading("0 dollars" if not r.value else f"{r.value:g} dollars", r.where) for r in _costs(emitted)]
    if question == "outcome":
        return list(_outcomes(emitted, ordinary))
    return list(_BY_QUESTION[question](emitted))


def _mismatches(emitted: dict[str, Any]) -> Iterator[Reading]:
    """Any word that the usage contradicts itself."""
    for span in emitted["spans"]:
        names = [
            key for key, _ in _flat(span["attributes"]) if re.search(r"mismatch|inconsist|contradict", _words(key))
        ]
        if names:
            yield Reading(1, f"span {span['name']}: {names[0]}")


def _qualities(emitted: dict[str, Any]) -> Iterator[Reading]:
    """Any word on how a cost came about."""
    for span in emitted["spans"]:
        for key, value in _flat(span["attributes"]):
            if re.search(r"cost", _words(key)) and re.search(r"quality|estimat", _words(key)):
                yield Reading(value, f"span {span['name']}: {key}")


def _connects_given_up(emitted: dict[str, Any]) -> Iterator[Reading]:
    """Spans of connecting that say that they were cancelled."""
    connects = [span for span in emitted["spans"] if re.search(r"connect|initialize|discover", span["name"])]
    given_up = sum("ancel" in str(span) for span in connects)
    if given_up:
        yield Reading(given_up, "spans of connecting")


def _failed_connects(emitted: dict[str, Any]) -> Iterator[Reading]:
    """Spans of connecting that ended as errors."""
    connects = [span for span in emitted["spans"] if re.search(r"connect|initialize|discover", span["name"])]
    failed = sum(span["status"] == "ERROR" for span in connects)
    if failed:
        yield Reading(failed, "spans of connecting")


_BY_QUESTION: dict[str, Callable[[dict[str, Any]], Iterator[Reading]]] = {
    "calls": _counts,
    "tool_calls": _counts,
    "requests": _requests,
    "rate_limited": _rate_limited,
    "wait_seconds": _waits,
    "cost_usd": _costs,
    "errors": _errors,
    "tool_errors": _errors,
    "error_type": _error_types,
    "first_token_seconds": _first_tokens,
    "provider": _providers,
    "usage_mismatch": _mismatches,
    "connects_failed": _failed_connects,
    "connects_given_up": _connects_given_up,
    "quality": _qualities,
}
