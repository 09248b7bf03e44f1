"""What each receiver is sent: accepted by a server that checks the vendor's documented schema."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest

from support.receivers import Failure, Vendor, vendor
from tachograph.console.notify.delivery import DeliveryError
from tachograph.console.notify.message import Notification, NotifiedAlert, lasted, text_of
from tachograph.console.notify.receivers import deliver
from tachograph.settings import load
from tachograph.settings.notify import Receiver

KINDS = ("slack", "teams", "pagerduty", "opsgenie", "webhook")
AT = 1_700_000_000.0


@pytest.fixture(params=KINDS)
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """Each vendor's server in turn."""
    with vendor(request.param) as found:
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        yield found


def receiver(served: Vendor) -> Receiver:
    settings = load({"notify": {"receivers": {"it": served.settings()}}}, environ={}, read_file=False)
    return settings.notify.receivers["it"]


def alert(name: str = "LLMProviderDown", severity: str = "critical", **labels: str) -> NotifiedAlert:
    own = {"alertname": name, "severity": severity, "component": "llm_provider", "job": "shop", "provider": "openai"}
    return NotifiedAlert(
        labels=own | labels,
        annotations={
            "summary": "openai fails every call",
            "description": "The last 7 calls to openai failed and none succeeded.",
            "runbook_url": f"https://wiki.example/runbooks/{name}",
        },
        since=AT - 200,
    )


def notification(*firing: NotifiedAlert, resolved: tuple[NotifiedAlert, ...] = ()) -> Notification:
    return Notification(
        receiver="it",
        key='{"severity": "critical"}{"provider": "openai"}',
        labels={"job": "shop", "provider": "openai"},
        firing=firing,
        resolved=resolved,
        at=AT,
        console_url="https://console.example",
    )


def ended(one: NotifiedAlert) -> NotifiedAlert:
    return msgspec.structs.replace(one, resolved_at=AT)


def test_a_firing_alert_is_accepted_with_its_runbook_numbers_and_age(served: Vendor) -> None:
    deliver(receiver(served), notification(alert()), 5)
    assert served.complaints == []
    said = json.dumps(served.bodies[0], ensure_ascii=False).replace("\\\\", "")
    assert "https://wiki.example/runbooks/LLMProviderDown" in said
    assert "The last 7 calls to openai failed" in said
    assert "https://console.example/#/alerts?alert=LLMProviderDown" in said
    if served.kind != "webhook":
        assert "CRITICAL: openai fails every call" in said
        assert "3 min 20 s" in said


def test_the_end_is_told(served: Vendor) -> None:
    deliver(receiver(served), notification(resolved=(ended(alert()),)), 5)
    assert served.complaints == []
    path, body = served.accepted[0]
    if served.kind == "pagerduty":
        assert body["event_action"] == "resolve"
        assert "payload" not in body
    elif served.kind == "opsgenie":
        assert path.endswith("/close?identifierType=alias")
    elif served.kind == "webhook":
        assert (body["status"], body["alerts"][0]["endsAt"]) == ("resolved", "2023-11-14T22:13:20.000Z")
    else:
        assert "RESOLVED: openai fails every call" in json.dumps(body)


def test_what_a_model_is_called_cannot_break_or_enlarge_a_message(served: Vendor) -> None:
    nasty = '<!channel> [x](http://evil) *b* & "q" \\ \n\x00 ' + "é" * 5000
    many = [alert("LLMModelDown", model=f"{n}{nasty}") for n in range(300)]
    loud = [
        msgspec.structs.replace(one, annotations=one.annotations | {"summary": nasty, "description": nasty * 9})
        for one in many
    ]
    deliver(receiver(served), notification(*loud), 5)
    assert served.complaints == []
    said = json.dumps(served.bodies[0], ensure_ascii=False)
    if served.kind == "slack":
        assert "<!channel>" not in json.dumps([b for b in served.bodies[0]["blocks"] if b["type"] == "section"])
    if served.kind == "teams":
        assert "[x](http" not in said


@pytest.mark.parametrize("served", ["pagerduty", "opsgenie"], indirect=True)  # the others join nothing by key
def test_all_events_of_one_group_share_a_key_and_another_group_has_its_own(served: Vendor) -> None:
    first = notification(alert())
    other = notification(alert(provider="gemini"))
    deliver(receiver(served), first, 5)
    deliver(receiver(served), notification(alert(), alert("LLMModelDown", model="gpt-5")), 5)
    deliver(receiver(served), notification(resolved=(ended(alert()),)), 5)
    deliver(receiver(served), Notification(**{**_fields(other), "key": "another"}), 5)  # type: ignore[arg-type]
    assert served.complaints == []
    if served.kind == "pagerduty":
        keys = [body["dedup_key"] for body in served.bodies]
    else:
        keys = [body.get("alias") or path.split("/")[3] for path, body in served.accepted]
    assert keys[0] == keys[1] == keys[2] != keys[3]


def _fields(one: Notification) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__slots__}


@pytest.mark.parametrize(
    ("failure", "is_temporary", "after"),
    [
        (Failure(429, {"Retry-After": "30"}, "rate_limited"), True, 30.0),
        (Failure(429), True, None),
        (Failure(500, body="rollup_error"), True, None),
        (Failure(503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}), True, 0.0),
        (Failure(408), True, None),
        (Failure(0), True, None),
        (Failure(400, body="invalid_payload"), False, None),
        (Failure(401), False, None),
        (Failure(403, body="action_prohibited"), False, None),
        (Failure(404, body="no_service"), False, None),
        (Failure(410, body="channel_is_archived"), False, None),
        (Failure(302, {"Location": "http://127.0.0.1:1/"}), False, None),
    ],
)
def test_a_documented_error_says_what_was_answered_and_whether_to_come_back(
    served: Vendor, failure: Failure, is_temporary: bool, after: float | None
) -> None:
    served.failures.append(failure)
    with pytest.raises(DeliveryError) as caught:
        deliver(receiver(served), notification(alert()), 5)
    assert (caught.value.is_temporary, caught.value.retry_after_seconds) == (is_temporary, after)
    assert str(caught.value).startswith("127.0.0.1")
    if failure.status:
        assert f"answered {failure.status}" in str(caught.value)
        assert failure.body in str(caught.value)
    assert served.requests == 1


def test_no_error_shows_a_secret_though_the_server_repeats_it(served: Vendor) -> None:
    (secret,) = served.environment().values()
    served.failures.append(Failure(400, body=f"I do not like {secret} at all: {secret.rsplit('/', 1)[-1]}"))
    with pytest.raises(DeliveryError) as caught:
        deliver(receiver(served), notification(alert()), 5)
    last = secret.rsplit("/", 1)[-1].rpartition("sig=")[2]
    assert "***" in str(caught.value)
    assert secret not in str(caught.value)
    assert last not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_secret_that_is_not_there_is_named_by_its_variable(served: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = served.environment()
    monkeypatch.delenv(name)
    with pytest.raises(DeliveryError, match=f"the environment variable {name} is not set"):
        deliver(receiver(served), notification(alert()), 5)
    assert served.requests == 0


def test_a_server_that_is_not_there_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with vendor("pagerduty") as gone:
        settings = receiver(gone)
    monkeypatch.setenv("TEST_PAGERDUTY", "0" * 32)
    with pytest.raises(DeliveryError, match="the connection was refused") as caught:
        deliver(settings, notification(alert()), 2)
    assert caught.value.is_temporary


def test_a_webhook_recognises_a_copy_by_its_key_and_a_reminder_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with vendor("webhook") as served:
        for name, value in served.environment().items():
            monkeypatch.setenv(name, value)
        one = notification(alert())
        deliver(receiver(served), one, 5)
        deliver(receiver(served), one, 5)
        deliver(receiver(served), Notification(**{**_fields(one), "number": 1}), 5)  # type: ignore[arg-type]
        keys = [headers["Idempotency-Key"] for headers in served.headers]
    assert keys[0] == keys[1] != keys[2]


def test_the_link_to_a_console_on_the_own_machine_leads_to_the_shared_one() -> None:
    local = msgspec.structs.replace(
        alert(), annotations={"runbook_url": "http://127.0.0.1:9465/#/alerts?alert=LLMProviderDown"}
    )
    links = notification(local).links(local)
    assert links == [("Runbook", "https://console.example/#/alerts?alert=LLMProviderDown")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert lasted(seconds) == text


def test_a_rate_is_written_as_people_say_it() -> None:
    small = msgspec.structs.replace(alert(), annotations={"summary": "Provider openai error rate: 124.4m/sec"})
    assert notification(small).title == "CRITICAL: Provider openai error rate: 0.124/sec"


def test_a_long_list_is_counted_and_not_cut_in_silence() -> None:
    many = [alert("LLMModelDown", model=str(n)) for n in range(25)]
    assert "15 more alerts are not listed." in text_of(notification(*many))
