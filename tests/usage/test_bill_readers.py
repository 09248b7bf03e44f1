"""Reports of the vendors become lines, field by field, and what cannot be read is refused with its place and remedy."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tachograph.usage.reconcile import anthropic, focus, google, keys, limits, openai, pages
from tachograph.usage.reconcile.bill import CREDITS, Billed, BillError
from tachograph.usage.reconcile.keys import UNKNOWN
from tachograph.usage.reconcile.limits import RateLimit, SpendLimit

DAY = date(2026, 11, 2)
MIDNIGHT = int(datetime(2026, 11, 2, tzinfo=UTC).timestamp())
CENT, TENTH_OF_CENT = Decimal("0.005"), Decimal("0.0005")


def saved(folder: Path, content: Any, name: str = "report.json") -> list[Path]:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return [path]


def test_openai_s_usage_and_costs_are_read_field_by_field(tmp_path: Path) -> None:
    full = {
        "model": "gpt-5", "num_model_requests": 3, "input_tokens": 100, "input_cached_tokens": 40, "output_tokens": 20,
        "service_tier": "flex",
    }  # fmt: skip
    costs = [
        {"amount": {"value": 1.25}, "line_item": "gpt-5, input", "api_key_id": "key_1"},
        {"amount": {"value": -0.5}, "line_item": "Credit for gpt-5"},
        {"amount": {}, "line_item": "gpt-5 , output"},
    ]
    results = [full, {"model": "gpt-5", "batch": True, "service_tier": "flex"}, {}, *costs]
    page = {"data": [{"start_time": MIDNIGHT, "results": results}, {"start_time": MIDNIGHT + 86_400}]}
    assert list(openai.saved(saved(tmp_path, page))) == [
        Billed(DAY, "gpt-5", 3, 100, 40, 20, tier="flex"),
        Billed(DAY, "gpt-5", 0, 0, 0, 0, tier="batch"),
        Billed(DAY, "", 0, 0, 0, 0),
        Billed(DAY, "gpt-5", usd=Decimal("1.25"), digits_usd=CENT, key="key_1"),
        Billed(DAY, CREDITS, usd=Decimal("-0.5"), credit_usd=Decimal("-0.5"), digits_usd=Decimal("0.05")),
        Billed(DAY, "gpt-5", usd=Decimal(0)),
    ]
    assert [line.day for line in openai.saved(saved(tmp_path, {"data": [{"results": [{}]}]}))] == [date(1970, 1, 1)]


def test_anthropic_s_usage_and_costs_are_read_field_by_field(tmp_path: Path) -> None:
    full = {
        "model": "claude-sonnet-5", "uncached_input_tokens": 10, "cache_read_input_tokens": 40, "output_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 7}, "service_tier": "batch",
        "inference_geo": "us", "api_key_id": "key_1",
    }  # fmt: skip
    costs = [
        {"amount": "123.5", "model": None, "description": "Claude Sonnet 5 Usage", "cost_type": "tokens"},
        {"amount": "100", "model": "claude-sonnet-5", "description": "Claude Sonnet 5 Usage"},
        {"amount": "-100", "description": "Promotional Credit", "cost_type": "other"},
        {"amount": "-100", "description": "Sales", "cost_type": "CREDIT"},
    ]
    page = {
        "data": [{"starting_at": "2026-11-02T00:00:00Z", "results": [full, {}, *costs]}, {"starting_at": "2026-11-03"}]
    }
    credit = Billed(DAY, CREDITS, usd=Decimal(-1), credit_usd=Decimal(-1), digits_usd=CENT)
    assert list(anthropic.saved(saved(tmp_path, page))) == [
        Billed(
            DAY, "claude-sonnet-5", None, 62, 40, 20, cache_write_5m_tokens=5, cache_write_1h_tokens=7, tier="batch",
            region="us", key="key_1",
        ),
        Billed(DAY, "", None, 0, 0, 0),
        Billed(DAY, "Claude Sonnet 5", usd=Decimal("1.235"), digits_usd=TENTH_OF_CENT),
        Billed(DAY, "claude-sonnet-5", usd=Decimal(1), digits_usd=CENT),
        credit,
        credit,
    ]  # fmt: skip


def test_google_s_csv_is_read_by_its_columns_whatever_their_order(tmp_path: Path) -> None:
    text = """Cost ($),SKU description,Usage start date,Usage amount
"$1,234.50",Generate content input token count Gemini 2.5 Flash Lite text,2026-11-02,"1,000"
0.5,Generate content cached input token count Gemini 2.5 Pro,2026-11-02 00:00:00 UTC,7
2,Generate content output token count Gemini 2.5 Pro,2026-11-02,9
3,Gemini 2.5 Pro grounded requests,2026-11-02,4
4,Gemini 2.5 Pro output token,2026-11-02
5,Compute engine core,2026-11-02,1
,Gemini 2.5 Pro input token,2026-11-02,x
6,Gemini 2.5 Pro
"""
    assert list(google.saved(saved(tmp_path, text, "export.csv"))) == [
        Billed(DAY, "gemini-2.5-flash-lite", None, 1000, usd=Decimal("1234.50"), digits_usd=CENT),
        Billed(DAY, "gemini-2.5-pro", None, 7, 7, usd=Decimal("0.5"), digits_usd=Decimal("0.05")),
        Billed(DAY, "gemini-2.5-pro", None, None, None, 9, usd=Decimal(2)),
        Billed(DAY, "gemini-2.5-pro", usd=Decimal(3)),
        Billed(DAY, "gemini-2.5-pro", usd=Decimal(4)),
        Billed(DAY, "gemini-2.5-pro", usd=Decimal(0)),
    ]


def test_google_s_rows_of_bigquery_have_credits_beside_the_cost(tmp_path: Path) -> None:
    row = {
        "sku": {"description": "Gemini 2.5 Pro input token count"}, "usage_start_time": "2026-11-02 05:00:00 UTC",
        "usage": {"amount": "1000.0"}, "cost": "1.5", "location": {"region": "europe-west1"},
        "credits": [{"amount": -0.5}, {}],
    }  # fmt: skip
    bare = {"sku": {"description": "Gemini 2.5 Pro output token"}, "usage_start_time": "2026-11-02"}
    text = "\n".join(json.dumps(one) for one in (row, {"sku": None}, bare))
    assert list(google.saved(saved(tmp_path, f"{text}\n\n", "export.jsonl"))) == [
        Billed(
            DAY, "gemini-2.5-pro", None, 1000, usd=Decimal("1.5"), digits_usd=Decimal("0.05"), region="europe-west1"
        ),
        Billed(DAY, "gemini-2.5-pro", usd=Decimal("-0.5"), credit_usd=Decimal("-0.5"), digits_usd=Decimal("0.05")),
        Billed(DAY, "gemini-2.5-pro", usd=Decimal(0)),
        Billed(DAY, "gemini-2.5-pro", usd=Decimal(0)),
    ]


FOCUS = "ProviderName,BilledCost,ChargePeriodStart,ResourceId,RegionId,ChargeCategory,Else"


def test_a_focus_file_charges_one_provider_by_day_and_resource(tmp_path: Path) -> None:
    text = f"""{FOCUS}
OpenAI,1.25,2026-11-02T23:00:00Z,gpt-5,eu,Usage,a
openai,-1,2026-11-02T00:00:00+00:00,gpt-5,,Credit,b
Anthropic,7,2026-11-02,claude,,Usage,c
OpenAI,2,2026-11-03T00:30:00+02:00,,,Usage,d
"""
    assert list(focus.saved(saved(tmp_path, text, "bill.csv"), "openai")) == [
        Billed(DAY, "gpt-5", usd=Decimal("1.25"), digits_usd=CENT, region="eu"),
        Billed(DAY, "gpt-5", usd=Decimal(-1), credit_usd=Decimal(-1)),
        Billed(DAY, "", usd=Decimal(2)),
    ]


REPORT = "Save the API's answers as they come."
UNREAD = "Save the provider's report as it comes, and compare it with docs/reconcile.md."
OLD_FOCUS = "Export it in FOCUS 1.0 or later."


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    reads: tuple[Callable[[list[Path]], Iterator[Billed]], ...] = (openai.saved, google.saved, of_focus)
    for read, name in zip(reads, ("the report", "the export", "the file"), strict=True):
        with pytest.raises(BillError, match=f"^{name} cannot be read: .+ Name a readable file\\.$") as caught:
            list(read([tmp_path / "none.csv"]))
        assert caught.value.where == str(tmp_path / "none.csv")


def of_focus(paths: list[Path]) -> Iterator[Billed]:
    return focus.saved(paths, "openai")


@pytest.mark.parametrize(
    ("read", "name", "text", "what", "do"),
    [
        (openai.saved, "a.json", "{", "the file is not JSON: Expecting property name enclosed in double quotes: line 1"
         " column 2 (char 1)", REPORT),
        (openai.saved, "a.json", "[3]", "the file holds no usage or cost report", REPORT),
        (google.saved, "a.jsonl", "{", "the report has a value that is not understood: JSONDecodeError: Expecting"
         " property name enclosed in double quotes: line 1 column 2 (char 1)", UNREAD),
        (google.saved, "a.csv", "a,b\n", "the export has no header with a day, a SKU and a cost",
         "Export the cost table by day and SKU as CSV, in English."),
        (google.saved, "a.csv", "day,sku,cost\nsoon,Gemini 2.5 Pro,1\n", "'soon' is no day",
         "Export with days as 2026-11-30."),
        (google.saved, "a.csv", "day,sku,cost\n2026-11-02,Gemini 2.5 Pro,\u20ac5.00\n",
         "'\u20ac5.00' is no amount of money", "Export amounts as 1234.56."),
        (of_focus, "a.csv", "ProviderName\n", "the file has no column BilledCost, ChargePeriodStart", OLD_FOCUS),
        (of_focus, "a.csv", f"{FOCUS}\nOpenAI,1,soon,,,,\n",
         "a row has no cost or no day: Invalid isoformat string: 'soon'", OLD_FOCUS),
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_read_is_refused_with_its_place_and_remedy(
    tmp_path: Path, read: Callable[[list[Path]], Iterator[Billed]], name: str, text: str, what: str, do: str
) -> None:
    paths = saved(tmp_path, text, name)
    with pytest.raises(BillError) as caught:
        list(read(paths))
    assert (caught.value.what, caught.value.where, caught.value.do) == (what, str(paths[0]), do)


class Api:
    """A vendor's admin API: answers by path in turn, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, list[tuple[str, str]], dict[str, str]]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                api.asked.append((url.path, parse_qsl(url.query), {k.lower(): v for k, v in self.headers.items()}))
                waiting = api.answers.get(url.path) or [(404, {})]
                status, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.send_header("retry-after", "0")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.server.shutdown()
    made.server.server_close()


SINCE, UNTIL = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)


def test_openai_is_asked_for_three_reports_page_by_page(api: Api) -> None:
    bucket = {"start_time": MIDNIGHT, "results": [{"model": "gpt-5", "input_tokens": 1}]}
    api.answers = {
        "/organization/usage/completions": [
            (200, {"data": [bucket], "has_more": True, "next_page": "p2"}),
            (429, {}),
            (200, {"data": [bucket], "has_more": False, "next_page": "p3"}),
        ],
        "/organization/usage/embeddings": [(200, {"data": []})],
        "/organization/costs": [(200, {})],
    }
    lines = list(openai.billed(SINCE, UNTIL, key="admin", base_url=f"{api.url}/"))
    assert [line.input_tokens for line in lines] == [1, 1]
    span = [
        ("start_time", str(MIDNIGHT)),
        ("end_time", str(MIDNIGHT + 86_400)),
        ("limit", "31"),
        ("bucket_width", "1d"),
    ]
    by_model = ("group_by[]", "model")
    completions = [*span, by_model, ("group_by[]", "batch"), ("group_by[]", "service_tier")]
    assert [(path, query) for path, query, _ in api.asked] == [
        ("/organization/usage/completions", completions),
        ("/organization/usage/completions", [*completions, ("page", "p2")]),
        ("/organization/usage/completions", [*completions, ("page", "p2")]),
        ("/organization/usage/embeddings", [*span, by_model]),
        ("/organization/costs", [*span, ("group_by[]", "line_item")]),
    ]
    assert {headers["authorization"] for _, _, headers in api.asked} == {"Bearer admin"}


def test_anthropic_is_asked_for_two_reports_with_its_version(api: Api) -> None:
    root = "/v1/organizations"
    api.answers = {f"{root}/usage_report/messages": [(200, {})], f"{root}/cost_report": [(200, {})]}
    assert list(anthropic.billed(SINCE, UNTIL, key="admin", base_url=api.url)) == []
    span = [("starting_at", "2026-11-02T00:00:00Z"), ("ending_at", "2026-11-03T00:00:00Z"), ("limit", "31")]
    groups = [("group_by[]", name) for name in ("model", "service_tier", "inference_geo")]
    assert [(path, query) for path, query, _ in api.asked] == [
        (f"{root}/usage_report/messages", [*span, ("bucket_width", "1d"), *groups]),
        (f"{root}/cost_report", [*span, ("group_by[]", "description")]),
    ]
    assert {(h["x-api-key"], h["anthropic-version"]) for _, _, h in api.asked} == {("admin", "2023-06-01")}


@pytest.mark.parametrize(
    ("status", "body", "what", "do"),
    [
        (429, {}, "the provider still answers 429 after 5 tries", "Try again later."),
        (401, {}, "the provider refuses this key for its reports (401)",
         "Usage and cost reports need an admin key of the organisation, not a key for calls."),
        (403, {}, "the provider refuses this key for its reports (403)",
         "Usage and cost reports need an admin key of the organisation, not a key for calls."),
        (400, "x" * 300, f"the provider answers 400: {'x' * 200}", None),
        (404, {}, "the provider answers 404: {}", None),
        (200, "<html>", "the provider's answer is not JSON", "Check --base-url."),
        (200, [], "the provider's answer is no report", "Check --base-url."),
    ],
)  # fmt: skip
def test_an_api_that_refuses_is_named_with_what_to_do(
    api: Api, status: int, body: Any, what: str, do: str | None
) -> None:
    path = "/organization/usage/completions"
    api.answers = {path: [(status, body)]}
    with pytest.raises(BillError) as caught:
        list(openai.billed(SINCE, UNTIL, key="k", base_url=api.url))
    assert (caught.value.what, caught.value.where, caught.value.do) == (what, api.url + path, do)
    assert len(api.asked) == (5 if status == 429 else 1)


def test_an_api_that_does_not_answer_is_named(api: Api) -> None:
    api.server.shutdown()
    api.server.server_close()
    with pytest.raises(BillError, match="the report cannot be fetched: ") as caught:
        list(openai.billed(SINCE, UNTIL, key="k", base_url=api.url))
    assert (caught.value.where, caught.value.do) == (
        f"{api.url}/organization/usage/completions",
        "Check the network and the address.",
    )


def test_openai_s_limits_are_read_project_by_project(api: Api) -> None:
    root = "/organization"
    shop, old = {"id": "p1", "name": "shop"}, {"id": "p2", "name": "old", "archived_at": 1}
    api.answers = {
        f"{root}/spend_limit": [(200, {"threshold_amount": 12_345, "enforcement": {"status": "enforcing"}})],
        f"{root}/projects": [
            (200, {"data": [shop], "has_more": True, "last_id": "p1"}),
            (200, {"data": [old, {"id": "p3"}], "last_id": "p3"}),
        ],
        f"{root}/projects/p3/spend_limit": [(200, {"threshold_amount": 50})],
        f"{root}/projects/p1/rate_limits": [(200, {"data": [{"model": "gpt-5", "max_tokens_per_1_minute": 9}]})],
        f"{root}/projects/p3/rate_limits": [(200, {"data": [{"max_requests_per_1_day": 0}]})],
    }
    assert list(limits.openai(key="admin", base_url=f"{api.url}/")) == [
        SpendLimit("organization", 123.45, True),
        RateLimit("shop", "gpt-5", "tokens_per_minute", 9.0),
        SpendLimit("p3", 0.5, False),
        RateLimit("p3", "", "requests_per_day", 0.0),
    ]
    pages = [query for path, query, _ in api.asked if path == f"{root}/projects"]
    assert pages == [[("limit", "100")], [("limit", "100"), ("after", "p1")]]


def test_anthropic_s_limits_of_a_group_are_at_each_of_its_models(api: Api) -> None:
    both = {"models": ["a", "b"], "limits": [{"type": "requests_per_minute", "value": 5}]}
    group = {"group": {"type": "files"}, "limits": [{"type": "bytes"}]}
    api.answers = {"/v1/organizations/rate_limits": [(200, {"data": [both, group, {}]})]}
    assert list(limits.anthropic(key="admin", base_url=api.url)) == [
        RateLimit("organization", "a", "requests_per_minute", 5.0),
        RateLimit("organization", "b", "requests_per_minute", 5.0),
        RateLimit("organization", "files", "bytes", 0.0),
    ]
    ((_, query, headers),) = api.asked
    assert (query, headers["x-api-key"], headers["anthropic-version"]) == ([], "admin", "2023-06-01")


def test_openai_s_costs_by_key_go_with_the_last_characters_that_its_lists_show(api: Api) -> None:
    def cost(key: str | None, item: str = "gpt-5, input", value: float = 1.25) -> dict[str, Any]:
        return {"amount": {"value": value}, "line_item": item, "api_key_id": key}

    results = [cost("k1"), cost("k2"), cost("k9"), cost(None), cost("k1", "Credit", -1)]
    api.answers = {
        "/organization/projects": [(200, {"data": [{"id": "p1"}, {"id": "p2"}]})],
        "/organization/projects/p1/api_keys": [(200, {"data": [{"id": "k1", "redacted_value": "sk-...wxyz"}]})],
        "/organization/projects/p2/api_keys": [(200, {"data": [{"id": "k2"}]})],  # shows none of it
        "/organization/costs": [(200, {"data": [{"start_time": MIDNIGHT, "results": results}]})],
    }
    found = list(keys.openai(SINCE, UNTIL, key="admin", base_url=f"{api.url}/"))
    line = Billed(DAY, "gpt-5", usd=Decimal("1.25"), digits_usd=CENT)
    assert [(one.key, replace(one, key="")) for one in found] == [
        ("...wxyz", line), ("k2", line), ("k9", line), (UNKNOWN, line),
    ]  # fmt: skip
    listing = [("limit", "100")]
    span = [
        ("start_time", str(MIDNIGHT)),
        ("end_time", str(MIDNIGHT + 86_400)),
        ("limit", "31"),
        ("bucket_width", "1d"),
        ("group_by[]", "line_item"),
        ("group_by[]", "api_key_id"),
    ]
    assert [(path, query) for path, query, _ in api.asked] == [
        ("/organization/projects", listing),
        ("/organization/projects/p1/api_keys", listing),
        ("/organization/projects/p2/api_keys", listing),
        ("/organization/costs", span),
    ]
    assert {headers["authorization"] for _, _, headers in api.asked} == {"Bearer admin"}


def test_anthropic_s_tokens_by_key_go_with_the_last_characters_that_its_list_shows(api: Api) -> None:
    root = "/v1/organizations"
    api.answers = {
        f"{root}/api_keys": [
            (200, {"data": [{"id": "k1", "partial_key_hint": "sk-ant-...wxyz"}], "has_more": True, "last_id": "k1"}),
            (200, {"data": [{"id": "k2", "partial_key_hint": "sk-ant-...abcd"}]}),
        ],
        f"{root}/usage_report/messages": [
            (200, {"data": [{"starting_at": "2026-11-02", "results": [{"api_key_id": "k2", "output_tokens": 3}, {}]}]})
        ],
    }
    found = list(keys.anthropic(SINCE, UNTIL, key="admin", base_url=f"{api.url}/"))
    assert found == [Billed(DAY, "", None, 0, 0, 3, key="...abcd"), Billed(DAY, "", None, 0, 0, 0, key=UNKNOWN)]
    span = [("starting_at", "2026-11-02T00:00:00Z"), ("ending_at", "2026-11-03T00:00:00Z"), ("limit", "31")]
    groups = [("group_by[]", name) for name in ("api_key_id", "model", "service_tier", "inference_geo")]
    assert [(path, query) for path, query, _ in api.asked] == [
        (f"{root}/api_keys", [("limit", "100")]),
        (f"{root}/api_keys", [("limit", "100"), ("after_id", "k1")]),
        (f"{root}/usage_report/messages", [*span, ("bucket_width", "1d"), *groups]),
    ]
    assert {(h["x-api-key"], h["anthropic-version"]) for _, _, h in api.asked} == {("admin", "2023-06-01")}


@pytest.mark.parametrize(
    ("read", "path", "root"),
    [
        (lambda url: keys.openai(SINCE, UNTIL, key="k", base_url=url), "/organization/projects", "/organization"),
        (lambda url: keys.anthropic(SINCE, UNTIL, key="k", base_url=url), "/v1/organizations/api_keys",
         "/v1/organizations"),
        (lambda url: limits.openai(key="k", base_url=url), "/organization/projects", "/organization"),
        (lambda url: limits.anthropic(key="k", base_url=url), "/v1/organizations/rate_limits",
         "/v1/organizations/rate_limits"),
        (lambda url: openai.billed(SINCE, UNTIL, key="k", base_url=url), "/organization/usage/completions", ""),
        (lambda url: anthropic.billed(SINCE, UNTIL, key="k", base_url=url), "/v1/organizations/usage_report/messages",
         "/v1/organizations"),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_understood_is_named_with_the_address(
    api: Api, read: Callable[[str], Iterator[Any]], path: str, root: str
) -> None:
    api.answers = {path: [(200, {"data": [3]})]}
    with pytest.raises(BillError, match=r"^the report has a value that is not understood: ") as caught:
        list(read(f"{api.url}/"))
    assert (caught.value.where, caught.value.do) == (api.url + root, UNREAD)


def test_a_report_goes_on_while_it_names_a_next_page_and_ends_where_pages_do_not(api: Api) -> None:
    url = f"{api.url}/report"
    pages_of = [{"data": [{"n": 1}], "next_page": "p2"}, {"next_page": "p3"}, {"data": [{"n": 3}], "has_more": True}]
    api.answers = {"/report": [(200, page) for page in pages_of]}
    assert list(pages.from_api(url, [("a", "b")], {"x-key": "k"})) == [{"n": 1}, {"n": 3}]
    assert [query for _, query, _ in api.asked] == [
        [("a", "b")], [("a", "b"), ("page", "p2")], [("a", "b"), ("page", "p3")],
    ]  # fmt: skip
    assert {headers["x-key"] for _, _, headers in api.asked} == {"k"}
    api.answers = {"/report": [(200, {"data": [{"n": 1}], "next_page": "p2"})]}
    found = pages.from_api(url, [], {})
    assert [next(found), next(found)] == [{"n": 1}] * 2
    with pytest.raises(BillError) as caught:
        next(found)
    assert (caught.value.what, caught.value.where, caught.value.do) == (
        "the report's pages do not end", url, "Check --base-url.",
    )  # fmt: skip


def test_a_busy_api_is_waited_for_as_it_says_or_twice_as_long_each_time(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(pages.time, "sleep", slept.append)
    asked = [("7", 3), ("0.5", 3), ("-1", 3), (None, 0), (None, 1), (None, 3), ("", 2), ("soon", 4), ("nan", 0)]
    assert [pages._wait(text, attempt) for text, attempt in asked[:-1]] == [7.0, 0.5, 0.0, 1.0, 2.0, 8.0, 4.0, 16.0]
    answers = iter(("90", None, "2", None, None))
    monkeypatch.setattr(pages, "_wait", lambda _, attempt, wait=pages._wait: wait(next(answers), attempt))
    api.answers = {"/report": [(429, {})]}
    with pytest.raises(BillError, match=r"^the provider still answers 429 after 5 tries"):
        list(pages.from_api(f"{api.url}/report", [], {}))
    assert slept == [60.0, 2.0, 2.0, 8.0]  # none after the last


def test_saved_reports_may_be_a_page_a_list_of_pages_or_a_page_a_line(tmp_path: Path) -> None:
    pages_of: list[Any] = [{"data": [{"n": 1}, {"n": 2}]}, {"results": [], "n": 3}, {"data": [], "results": 1}]
    texts = {
        "page": json.dumps(pages_of[0]), "list": json.dumps(pages_of),
        "lines": "\n\n".join(map(json.dumps, pages_of)), "none": "[]",
    }  # fmt: skip
    paths = [saved(tmp_path, text, name)[0] for name, text in texts.items()]
    whole = [{"n": 1}, {"n": 2}, {"results": [], "n": 3}]
    assert [list(pages.from_files([path])) for path in paths] == [whole[:2], whole, whole, []]
    assert list(pages.from_files(paths)) == [*whole[:2], *whole, *whole]
    for name in "ab":
        with pytest.raises(BillError) as caught:
            list(pages.from_files([*paths, *saved(tmp_path, {"no": "report"}, name)]))
        assert caught.value.where == str(tmp_path / name)


def test_a_row_of_google_s_that_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    euros: dict[str, Any] = {"sku": {"description": "Gemini 2.5 Pro"}, "cost": 1, "currency": "EUR"}
    rows = json.dumps({**euros, "usage_start_time": "2026-11-02"}), json.dumps({**euros, "usage_start_time": "soon"})
    texts = {f"{number}.jsonl": text for number, text in enumerate(rows)}
    texts |= {"3.csv": "day,sku,cost,currency\n2026-11-02,Gemini 2.5 Pro,1,EUR\n", "4.csv": "a,b\n"}
    for name, text in texts.items():
        with pytest.raises(BillError) as caught:
            list(google.saved(saved(tmp_path, text, name)))
        assert caught.value.where == str(tmp_path / name)


@pytest.mark.parametrize(
    ("row", "billed"),
    [
        ({"service": {"description": " Gemini API "}, "sku": {"description": "Batch of tokens"}}, "Batch of tokens"),
        ({"service": {"description": "Compute"}, "sku": {"description": "Batch of tokens"}}, None),
        ({"service": None, "sku": {"description": "Batch of tokens"}}, None),
        ({"service": {"description": "Gemini API"}, "sku": {}}, None),
        ({"sku": {"description": "Veo 3.1 Fast Video + Audio Generation"}}, "veo-3.1-fast"),
    ],
)
def test_a_row_of_google_s_is_billed_for_its_model_or_what_the_gemini_api_calls_it(
    row: dict[str, Any], billed: str | None
) -> None:
    found = list(google.rows([{"usage_start_time": "2026-11-02", **row}], "a bill"))
    assert found == ([] if billed is None else [Billed(DAY, billed, usd=Decimal(0))])


@pytest.mark.parametrize(
    ("sku", "tokens", "counts"),
    [
        ("Gemini input token count", 5, (5, None, None)),
        ("Gemini cached input Token count", 5, (5, 5, None)),
        ("Gemini cache storage token hours", 5, (5, 5, None)),
        ("Gemini output token count", 5, (None, None, 5)),
        ("Gemini output token count for cached input", 5, (None, 5, 5)),
        ("Gemini token count", 5, (None, None, None)),
        ("Gemini input token count", None, (None, None, None)),
        ("Gemini input token count", 0, (0, None, None)),
        ("Gemini grounded requests of input", 5, (None, None, None)),
    ],
)
def test_the_words_of_a_sku_say_what_its_amount_counts(
    sku: str, tokens: int | None, counts: tuple[int | None, int | None, int | None]
) -> None:
    assert google._usage(sku, tokens) == counts


@pytest.mark.parametrize(
    ("lines", "is_one"),
    [
        ("ProviderName,BilledCost,ChargePeriodStart\n", True),
        ("a,ChargePeriodStart,BilledCost,ProviderName,b\n", True),
        ("ProviderName,BilledCost\n", False),
        ("", False),
    ],
)
def test_a_focus_file_is_known_by_its_header(tmp_path: Path, lines: str, is_one: bool) -> None:
    (path,) = saved(tmp_path, lines, "bill.csv")
    assert focus.is_focus(path) is is_one
    assert focus.is_focus(saved(tmp_path, lines, "bill.json")[0]) is False
    assert focus.is_focus(tmp_path / "none.parquet") is True
    assert focus.is_focus(tmp_path / "none.csv") is False


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-11-02", DAY),
        ("2026-11-02T23:59:59Z", DAY),
        ("2026-11-03T00:30:00+02:00", DAY),
        ("2026-11-01T23:00:00-02:00", DAY),
        (datetime(2026, 11, 2, 23), DAY),  # noqa: DTZ001 - Parquet files have such times
        (datetime(2026, 11, 2, 23, tzinfo=UTC), DAY),
        (datetime(2026, 11, 3, 0, 30, tzinfo=timezone(timedelta(hours=2))), DAY),
    ],
)
def test_a_charge_is_of_the_day_in_utc_that_its_period_begins_on(value: object, day: date) -> None:
    assert focus._day(value) == day
