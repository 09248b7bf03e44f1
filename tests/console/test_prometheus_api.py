"""The Prometheus HTTP API: the same answers as a real Prometheus on the same samples, field by field."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from support import random_promql
from support.console_client import Client
from support.filled_prometheus import filled
from support.parts import program
from support.prometheus import prometheus
from tachograph import catalogue
from tachograph.console import RunningConsole, start
from tachograph.console.calls import Call, CallDetail
from tachograph.console.query import Prometheus

# Between two samples: the two versions differ in what belongs to a range exactly at its edge.
AT = (random_promql.START + 20 * 60_000) / 1000 + 7
SPAN = {"start": AT - 300, "end": AT, "step": 60}


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Client, str, RunningConsole]]:
    """A console and a real Prometheus with the same samples."""
    series = random_promql.series(3)
    with filled(series) as url, start(port=0, step_seconds=300, rules=False) as served:
        served.console.store.retention_ms = 100 * 365 * 86_400_000
        for labels, points in series:
            for at, value in points:
                served.console.store.append(labels, at, value)
        yield Client(served.url, served.token), url, served


def real(url: str, path: str, parameters: list[tuple[str, Any]], *, post: bool = False) -> tuple[int, str, Any]:
    encoded = urllib.parse.urlencode(parameters)
    request = urllib.request.Request(
        url + path + ("" if post else f"?{encoded}"), data=encoded.encode() if post else None
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers["Content-Type"], json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], json.load(error)


SAME: list[tuple[str, list[tuple[str, Any]]]] = [
    ("/api/v1/query", [("query", "temp"), ("time", AT)]),
    ("/api/v1/query", [("query", "req_total[2m]"), ("time", AT)]),
    ("/api/v1/query", [("query", "temp[2m:30s]"), ("time", AT)]),
    ("/api/v1/query", [("query", "1 + 1"), ("time", AT)]),
    ("/api/v1/query", [("query", "1/0"), ("time", "2023-11-14T22:33:27Z")]),
    ("/api/v1/query", [("query", "'text'"), ("time", "2023-11-14T23:33:27.5+01:00")]),
    ("/api/v1/query", [("query", "nothing"), ("time", AT)]),
    ("/api/v1/query", [("query", "vector(1e-7)"), ("time", AT)]),
    ("/api/v1/query", [("query", "vector(123456789012345678901234)"), ("time", AT)]),
    ("/api/v1/query", [("query", "max by (job) (temp)"), ("time", AT), ("timeout", "5s")]),
    ("/api/v1/query_range", [("query", "temp"), *SPAN.items()]),
    ("/api/v1/query_range", [("query", "time()"), *SPAN.items()]),
    ("/api/v1/query_range", [("query", "temp > 10"), ("start", AT - 100.5), ("end", AT), ("step", "33s")]),
    ("/api/v1/query_range", [("query", "nothing"), *SPAN.items()]),
    ("/api/v1/series", [("match[]", "temp"), ("match[]", 'load{job="api"}'), ("start", AT - 60), ("end", AT)]),
    ("/api/v1/series", [("match[]", "nothing")]),
    ("/api/v1/labels", []),
    ("/api/v1/labels", [("match[]", "load")]),
    ("/api/v1/label/instance/values", []),
    ("/api/v1/label/cpu/values", [("match[]", "load"), ("start", AT - 60), ("end", AT)]),
    ("/api/v1/label/__name__/values", []),
    ("/api/v1/label/none/values", []),
    ("/api/v1/metadata", []),
    ("/api/v1/query_exemplars", [("query", "temp"), ("start", AT - 60), ("end", AT)]),
]


@pytest.mark.parametrize("post", [False, True])
def test_answers_are_those_of_prometheus(both: tuple[Client, str, RunningConsole], post: bool) -> None:
    client, url, _ = both
    for path, parameters in SAME:
        if post and ("/label/" in path or path.endswith("metadata")):
            continue
        if post:
            body = urllib.parse.urlencode(parameters).encode()
            ours = client.post(path, body, "application/x-www-form-urlencoded")
        else:
            ours = client.request("GET", path, parameters=parameters)
        status, kind, theirs = real(url, path, parameters, post=post)
        assert (ours.status, ours.headers["content-type"]) == (status, kind), (path, parameters, ours.body)
        assert _sorted(ours.json) == _sorted(theirs), (path, parameters)


def _sorted(answer: dict[str, Any]) -> dict[str, Any]:
    """Prometheus 2.42 leaves the order of an instant vector open."""
    data = answer.get("data")
    if isinstance(data, dict) and data.get("resultType") == "vector":
        data["result"].sort(key=lambda one: sorted(one["metric"].items()))
    return answer


WRONG: list[tuple[str, list[tuple[str, Any]], bool]] = [
    ("/api/v1/query", [("query", "temp("), ("time", AT)], False),
    ("/api/v1/query", [("query", ""), ("time", AT)], False),
    ("/api/v1/query", [("query", "temp"), ("time", "yesterday")], True),
    ("/api/v1/query", [("query", "temp"), ("timeout", "soon")], True),
    ("/api/v1/query", [("query", 'temp{job=~"("}'), ("time", AT)], False),
    ("/api/v1/query", [("query", "temp + on(job) load"), ("time", AT)], False),
    ("/api/v1/query", [("query", "label_replace(temp, 'a', '', 'b', '(')"), ("time", AT)], False),
    ("/api/v1/query_range", [("query", "temp"), ("start", AT), ("end", AT - 1), ("step", 1)], True),
    ("/api/v1/query_range", [("query", "temp"), ("start", AT), ("end", AT), ("step", 0)], True),
    ("/api/v1/query_range", [("query", "temp"), ("start", AT), ("end", AT), ("step", "x")], True),
    ("/api/v1/query_range", [("query", "temp"), ("start", AT - 100_000), ("end", AT), ("step", 1)], True),
    ("/api/v1/query_range", [("query", "temp[5m]"), *SPAN.items()], False),
    ("/api/v1/query_range", [("query", "temp"), ("start", ""), ("end", AT), ("step", 1)], True),
    ("/api/v1/series", [], True),
    ("/api/v1/series", [("match[]", "{{")], False),
    ("/api/v1/labels", [("start", "x")], True),
    ("/api/v1/rules", [("type", "x")], True),
]


@pytest.mark.parametrize(("path", "parameters", "same_text"), WRONG)
def test_refusals_are_those_of_prometheus(
    both: tuple[Client, str, RunningConsole], path: str, parameters: list[tuple[str, Any]], same_text: bool
) -> None:
    client, url, _ = both
    ours = client.request("GET", path, parameters=parameters)
    status, kind, theirs = real(url, path, parameters)
    assert ours.status == status, ours.body
    assert ours.headers["content-type"] == kind
    assert ours.json.keys() == theirs.keys()
    assert ours.json["errorType"] == theirs["errorType"]
    if same_text:
        assert ours.json["error"] == theirs["error"]


def test_what_is_not_supported_is_a_422_that_names_it(both: tuple[Client, str, RunningConsole]) -> None:
    client, _, _ = both
    for query, named in (("info(temp)", "info()"), ("rate(temp[5m] smoothed)", "smoothed")):
        answer = client.request("GET", "/api/v1/query", parameters={"query": query})
        assert answer.status == 422
        assert answer.json["errorType"] == "execution"
        assert named in answer.json["error"]


def test_a_limit_cuts_the_answer_and_says_so(both: tuple[Client, str, RunningConsole]) -> None:
    client, _, _ = both
    answer = client.get("/api/v1/query", query="temp", time=AT, limit=2)
    assert len(answer["data"]["result"]) == 2
    assert answer["warnings"] == ["results truncated due to limit"]
    assert client.get("/api/v1/labels", limit=1)["data"] == ["__name__"]


def test_notes_travel_as_infos(both: tuple[Client, str, RunningConsole]) -> None:
    client, _, _ = both
    answer = client.get("/api/v1/query", query="rate(temp[5m])", time=AT)
    assert answer["infos"] == [
        'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "temp"'
    ]


def test_status_and_targets_have_prometheus_fields(both: tuple[Client, str, RunningConsole]) -> None:
    client, url, _ = both
    for path in ("/api/v1/status/buildinfo", "/api/v1/rules", "/api/v1/alerts"):
        assert client.get(path)["data"].keys() == real(url, path, [])[2]["data"].keys()
    assert client.get("/api/v1/targets")["data"].keys() >= {"activeTargets", "droppedTargets"}


def test_promtool_asks_it(both: tuple[Client, str, RunningConsole]) -> None:
    promtool = program("promtool")
    client, url, served = both
    mine = f"http://tool:{served.token}@{client.address}"
    for command in (
        ["instant", f"--time={AT:.0f}", "URL", "count(temp)"],
        ["range", f"--start={AT - 120:.0f}", f"--end={AT:.0f}", "--step=60s", "URL", "max(temp)"],
        ["series", '--match=load{job="api"}', "URL"],
        ["labels", f"--start={AT - 600:.0f}", f"--end={AT:.0f}", "URL", "instance"],
    ):
        outputs = [
            subprocess.run(
                [promtool, "query", *(address if word == "URL" else word for word in command)],
                capture_output=True, text=True, timeout=60, check=False,
            )
            for address in (mine, url)
        ]  # fmt: skip
        assert outputs[0].returncode == 0, outputs[0].stderr
        assert sorted(outputs[0].stdout.split("\n")) == sorted(outputs[1].stdout.split("\n")), command


def test_prometheus_mode_passes_on_what_prometheus_says(both: tuple[Client, str, RunningConsole]) -> None:
    _, url, _ = both
    with start(port=0, prometheus=url, step_seconds=300) as served:
        client = Client(served.url, served.token)
        path, parameters = "/api/v1/query_range", [("query", "temp"), *SPAN.items()]
        assert client.request("GET", path, parameters=parameters).json == real(url, path, parameters)[2]
        assert client.get("/api/console/status")["source"] == "prometheus"
        served.console.tick()
        groups = client.get("/api/v1/rules")["data"]["groups"]
        assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}


def rules_of(*alerts: str) -> str:
    rules = [{"alert": alert, "expr": "vector(1)"} for alert in alerts]
    return json.dumps({"groups": [{"name": "theirs", "rules": rules}]})


def test_a_prometheus_with_our_alerts_shows_its_own_and_those_that_it_lacks_are_named() -> None:
    with (
        prometheus(rules=rules_of("LLMProviderDown")) as server,
        start(port=0, prometheus=server.url, step_seconds=300) as served,
    ):
        client = Client(served.url, served.token)
        groups = client.get("/api/v1/rules")["data"]["groups"]
        told = client.get("/api/console/status")["rules_told"]
    assert [group["name"] for group in groups] == ["theirs"]
    assert "LLMModelDown" in told
    assert "LLMProviderDown" not in told


def test_on_a_prometheus_with_rules_about_other_things_ours_are_evaluated_and_what_they_lack_is_said() -> None:
    with (
        prometheus(rules=rules_of("NodeDown")) as server,
        start(port=0, prometheus=server.url, step_seconds=300) as served,
    ):
        client = Client(served.url, served.token)
        served.console.tick()
        alerts = {one["name"]: one for one in client.get("/api/console/alerts")["alerts"]}
        told = client.get("/api/console/status")["rules_told"]
        call = Call(id="1" * 32, kind="llm", time=time.time() - 60, provider="openai", model="gpt-5", attempts=1)
        served.console.calls.add_all([(CallDetail(call, []), None)], wait=True)
        board = client.get("/api/console/board/tachograph-llm-provider", **{"from": call.time - 600, "to": time.time()})
    assert (board["source"], board["calls"]) == ("calls", 1)  # that Prometheus does not have this application
    assert "NodeDown" not in alerts
    assert alerts["LLMMonitorAbsent"]["state"] == "pending"  # evaluated on the data of that Prometheus
    assert "has none of these rules" in told
    assert "LLMProviderErrorBudgetBurn" in told  # compares with recorded series
    assert "HighProviderErrorRate" not in told  # reads raw series alone


def test_a_prometheus_with_everything_that_is_exported_leaves_nothing_to_say() -> None:
    ours = [alert.name for group in catalogue.rule_groups() for alert in group.alerts]
    with (
        prometheus(rules=rules_of(*dict.fromkeys(ours))) as server,
        start(port=0, prometheus=server.url, step_seconds=300) as served,
    ):
        assert Client(served.url, served.token).get("/api/console/status")["rules_told"] == ""


def test_who_asks_for_rules_while_the_clock_asks_waits_for_the_same_answer() -> None:
    asked, may_answer = threading.Event(), threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            assert may_answer.wait(60)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(
                b'{"status": "success", "data": {"groups": [{"name": "theirs", "rules": [{"name": "Theirs"}]}]}}'
            )

        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server, ThreadPoolExecutor(3) as pool:
        pool.submit(server.serve_forever)
        theirs = Prometheus(f"http://127.0.0.1:{server.server_port}")
        first = pool.submit(theirs.has_rules)
        assert asked.wait(60)
        second = pool.submit(theirs.has_rules)
        may_answer.set()
        wait((first, second), 60)
        server.shutdown()
    assert (first.result(), second.result()) == (True, True)


def test_a_prometheus_that_does_not_answer_is_an_error_that_names_it() -> None:
    with start(port=0, prometheus="http://127.0.0.1:1", step_seconds=300) as served:
        answer = Client(served.url, served.token).request("GET", "/api/v1/query", parameters={"query": "up"})
    assert answer.status == 422
    assert "http://127.0.0.1:1" in answer.json["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/label/U___FFFFFFFFF_/values",
        "/api/v1/label/U___d800_/values",
        "/api/v1/label/%00/values",
        "/api/v1/label/U__/values",
        "/api/v1/label/%ff%fe/values",
        "/api/v1/query?query=up&time=1e400",
        "/api/v1/query?query=up&time=NaN",
        "/api/v1/query?query=up&time=2026-13-45T99:99:99Z",
        "/api/v1/query?query=up&time=0001-01-01T00:00:00%2B23:59",
        "/api/v1/query?query=up&timeout=1e300",
        "/api/v1/query?query=up&timeout=-5",
        "/api/v1/query?query=up&limit=99999999999999999999999",
        "/api/v1/query?query=up&limit=-1",
        "/api/v1/query?query=%22%5Cxff%22",
        "/api/v1/query?query=%22%5Cud800%22",
        "/api/v1/query?query=up%7Ba%3D~%22%5Cxff%22%7D",
        "/api/v1/query?query=up%20offset%2099999999999y",
        "/api/v1/query?query=up%5B99999999999y%5D",
        "/api/v1/query?query=up%20@%201e300",
        "/api/v1/query_range?query=up&start=-9e15&end=9e15&step=1e9",
        "/api/v1/query_range?query=up&start=0&end=9e18&step=1",
        "/api/v1/query_range?query=up&start=0&end=1&step=1e-9",
        "/api/v1/series?match[]=%7B%7D&start=9e99",
        "/api/v1/series?match[]=%7B__name__%3D~%22(%22%7D",
        "/api/v1/query?query=%00",
        "/api/v1/query?query=%ed%a0%80",
        "/api/v1/format_query?query=%22%5C777%22",
        "/api/v1/metadata?limit=x",
        "/api/console/calls?from=NaN&to=1e400",
        "/api/console/calls?limit=99999999999999999999",
        "/api/console/calls?before=%00",
        "/api/console/traces/%00",
        "/api/console/calls/zz",
    ],
)
def test_what_cannot_be_read_is_the_asker_s_fault_and_never_ours(shared: Client, path: str) -> None:
    status = shared.request("GET", path).status
    assert status < 500 or status == 503, f"{path}: {status}"
