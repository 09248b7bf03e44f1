"""Local servers in the place of Slack, Teams, PagerDuty, Opsgenie and a webhook.

Each checks what it gets against the vendor's documented schema and answers as the vendor documents: success, or the
errors that a test asks for.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jsonschema

_TEXT = {"type": "string", "minLength": 1}
_LABELS = {"type": "object", "additionalProperties": {"type": "string"}}


def _object(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    } | more


def _text(limit: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": limit}


# docs.slack.dev/reference/block-kit/blocks (header 150, section 3000, context 10 elements, 50 blocks) and
# docs.slack.dev/messaging/sending-messages-using-incoming-webhooks, checked 2026-11-27.
_PLAIN = _object({"type": {"const": "plain_text"}, "text": _text(150), "emoji": {"type": "boolean"}}, "type", "text")
_MRKDWN = _object({"type": {"const": "mrkdwn"}, "text": _text(3000), "verbatim": {"type": "boolean"}}, "type", "text")
_BLOCK = {
    "oneOf": [
        _object({"type": {"const": "header"}, "text": _PLAIN}, "type", "text"),
        _object({"type": {"const": "section"}, "text": _MRKDWN}, "type", "text"),
        _object(
            {"type": {"const": "context"}, "elements": {"type": "array", "maxItems": 10, "items": _MRKDWN}},
            "type",
            "elements",
        ),
    ]
}
SLACK = _object(
    {"text": _text(40_000), "blocks": {"type": "array", "minItems": 1, "maxItems": 50, "items": _BLOCK}}, "text"
)

# adaptivecards.io/explorer (TextBlock, Action.OpenUrl), learn.microsoft.com/connectors/teams, checked 2026-11-27.
_COLOURS = ["Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"]
_TEXT_BLOCK = _object(
    {
        "type": {"const": "TextBlock"},
        "text": _TEXT,
        "wrap": {"type": "boolean"},
        "size": {"enum": ["Default", "Small", "Medium", "Large", "ExtraLarge"]},
        "weight": {"enum": ["Default", "Lighter", "Bolder"]},
        "style": {"enum": ["default", "heading"]},
        "color": {"enum": _COLOURS},
        "separator": {"type": "boolean"},
        "isSubtle": {"type": "boolean"},
    },
    "type",
    "text",
)
_OPEN_URL = _object(
    {"type": {"const": "Action.OpenUrl"}, "title": _text(60), "url": {"type": "string", "pattern": "^https?://"}},
    "type",
    "title",
    "url",
)
_CARD = _object(
    {
        "$schema": {"const": "http://adaptivecards.io/schemas/adaptive-card.json"},
        "type": {"const": "AdaptiveCard"},
        "version": {"enum": ["1.2", "1.3", "1.4", "1.5"]},
        "msteams": _object({"width": {"const": "Full"}}),
        "body": {"type": "array", "minItems": 1, "items": _TEXT_BLOCK},
        "actions": {"type": "array", "maxItems": 6, "items": _OPEN_URL},
    },
    "type",
    "version",
    "body",
)
TEAMS = _object(
    {
        "type": {"const": "message"},
        "attachments": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": _object(
                {
                    "contentType": {"const": "application/vnd.microsoft.card.adaptive"},
                    "contentUrl": {"type": "null"},
                    "content": _CARD,
                },
                "contentType",
                "content",
            ),
        },
    },
    "type",
    "attachments",
)
TEAMS_LIMIT = 28 * 1024

# github.com/PagerDuty/api-schema reference/events-v2/openapiv3.json; key of 32 characters, dedup_key of at most 255,
# summary of at most 1024, as developer.pagerduty.com/docs/send-alert-event says; checked 2026-11-27.
_LINK = _object({"href": {"type": "string", "pattern": "^https?://"}, "text": {"type": "string"}}, "href")
PAGERDUTY = _object(
    {
        "routing_key": {"type": "string", "minLength": 32, "maxLength": 32},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": _text(255),
        "client": {"type": "string"},
        "client_url": {"type": "string", "pattern": "^https?://"},
        "links": {"type": "array", "items": _LINK},
        "payload": _object(
            {
                "summary": _text(1024),
                "severity": {"enum": ["critical", "warning", "error", "info"]},
                "source": _TEXT,
                "timestamp": {
                    "type": "string",
                    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)$",
                },
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
            "summary",
            "severity",
            "source",
        ),
    },
    "routing_key",
    "event_action",
    allOf=[
        {
            "if": {"properties": {"event_action": {"const": "trigger"}}},
            "then": {"required": ["payload"]},
            "else": {"required": ["dedup_key"]},
        }
    ],
)

# docs.opsgenie.com/docs/alert-api, checked 2026-11-27.
OPSGENIE_CREATE = _object(
    {
        "message": _text(130),
        "alias": _text(512),
        "description": _text(15_000),
        "responders": {
            "type": "array",
            "maxItems": 50,
            "items": _object(
                {"name": _TEXT, "type": {"enum": ["team", "user", "escalation", "schedule"]}}, "name", "type"
            ),
        },
        "tags": {"type": "array", "maxItems": 20, "items": _text(50)},
        "details": _LABELS,
        "entity": _text(512),
        "source": _text(100),
        "priority": {"enum": ["P1", "P2", "P3", "P4", "P5"]},
    },
    "message",
)
OPSGENIE_CLOSE = _object({"user": _text(100), "source": _text(100), "note": _text(25_000)})

# prometheus.io/docs/alerting/latest/configuration/#webhook_config, checked 2026-11-27.
_STAMP = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
WEBHOOK = _object(
    {
        "version": {"const": "4"},
        "groupKey": _TEXT,
        "truncatedAlerts": {"type": "integer"},
        "status": {"enum": ["firing", "resolved"]},
        "receiver": _TEXT,
        "groupLabels": _LABELS,
        "commonLabels": _LABELS,
        "commonAnnotations": _LABELS,
        "externalURL": {"type": "string"},
        "alerts": {
            "type": "array",
            "minItems": 1,
            "items": _object(
                {
                    "status": {"enum": ["firing", "resolved"]},
                    "labels": _LABELS,
                    "annotations": _LABELS,
                    "startsAt": _STAMP,
                    "endsAt": _STAMP,
                    "generatorURL": {"type": "string"},
                    "fingerprint": _TEXT,
                },
                *("status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"),
            ),
        },
    },
    *("version", "groupKey", "status", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "alerts"),
)

SECRETS = {
    "slack": "T0SECRETTEAM/B0SECRETHOOK/sEcReTtOkEnOfThEwEbHoOk",
    "teams": "sig-of-the-workflow-9d8f7a6b5c",
    "pagerduty": "0123456789abcdef0123456789abcdef",
    "opsgenie": "eb243592-faa2-4ba2-a551-1afdf565c889",
    "webhook": "token-of-our-own-webhook",
}


@dataclass
class Failure:
    """What the next request meets instead of success: a status, or a broken connection (`status` 0)."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass
class Vendor:
    """A vendor's server.

    Attributes:
        accepted: The bodies that it took, with the path.
        complaints: What was wrong with requests.
        failures: What the next requests meet.
    """

    kind: str
    url: str
    accepted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    failures: deque[Failure] = field(default_factory=deque)
    requests: int = 0

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies that it took."""
        return [body for _, body in self.accepted]

    def settings(self) -> dict[str, Any]:
        """A receiver's table of the settings for this server; `environment` sets its secrets."""
        if self.kind in ("slack", "teams"):
            return {"kind": self.kind, "url_env": f"TEST_{self.kind.upper()}"}
        if self.kind == "webhook":
            return {"kind": "webhook", "url": f"{self.url}/hook", "token_env": "TEST_WEBHOOK"}
        return {"kind": self.kind, "url": self.url, "key_env": f"TEST_{self.kind.upper()}"}

    def environment(self) -> dict[str, str]:
        """The variables that hold the secrets."""
        secret = SECRETS[self.kind]
        if self.kind == "slack":
            secret = f"{self.url}/services/{secret}"
        if self.kind == "teams":
            secret = f"{self.url}/workflows/0a1b2c/triggers/manual/paths/invoke?api-version=1&sig={secret}"
        return {f"TEST_{self.kind.upper()}": secret}

    def answer(self, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> tuple[int, str, str]:
        """Check a request; returns status, content type and body, as the vendor documents them."""
        try:
            body = json.loads(raw)
        except ValueError:
            return self._bad(400, "invalid_payload", "the body is not JSON")
        if method != "POST" or not headers["Content-Type"].startswith("application/json"):
            return self._bad(405, "method_not_allowed", f"{method} with {headers.get('Content-Type')}")
        schema, status, said = self._expected(path, headers)
        if schema is None:
            return self._bad(status, said, f"{path} is not known, or the secret is wrong")
        errors = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(body)]
        if self.kind == "teams" and len(raw) > TEAMS_LIMIT:
            errors.append(f"the message has {len(raw)} bytes")
        if self.kind == "opsgenie" and sum(len(k) + len(v) for k, v in body.get("details", {}).items()) > 8000:
            errors.append("details are longer than 8000 characters")
        if errors:
            return self._bad(400, "invalid_payload", "; ".join(errors))
        self.accepted.append((path, body))
        self.headers.append(dict(headers))
        return status, *self._success(body)

    def _expected(self, path: str, headers: Mapping[str, str]) -> tuple[dict[str, Any] | None, int, str]:
        secret = SECRETS[self.kind]
        if self.kind == "slack":
            return (SLACK, 200, "") if path == f"/services/{secret}" else (None, 404, "no_service")
        if self.kind == "teams":
            known = path.startswith("/workflows/") and path.endswith(f"sig={secret}")
            return (TEAMS, 202, "") if known else (None, 401, "DirectApiAuthorizationRequired")
        if self.kind == "pagerduty":
            return (PAGERDUTY, 202, "") if path == "/v2/enqueue" else (None, 404, "not found")
        if self.kind == "opsgenie":
            if headers.get("Authorization") != f"GenieKey {secret}":
                return None, 401, json.dumps({"message": "Could not authenticate", "took": 0.0, "requestId": "r"})
            if path == "/v2/alerts":
                return OPSGENIE_CREATE, 202, ""
            closes = path.startswith("/v2/alerts/") and path.endswith("/close?identifierType=alias")
            return (OPSGENIE_CLOSE, 202, "") if closes else (None, 404, "not found")
        known = path == "/hook" and headers.get("Authorization") == f"Bearer {secret}"
        return (WEBHOOK, 200, "") if known else (None, 401, "who are you")

    def _success(self, body: dict[str, Any]) -> tuple[str, str]:
        if self.kind == "slack":
            return "text/html", "ok"
        if self.kind == "pagerduty":
            done = {"status": "success", "message": "Event processed", "dedup_key": body["dedup_key"]}
            return "application/json", json.dumps(done)
        if self.kind == "opsgenie":
            return "application/json", json.dumps(
                {"result": "Request will be processed", "took": 0.302, "requestId": "43a29c5c"}
            )
        return "text/plain", ""

    def _bad(self, status: int, said: str, why: str) -> tuple[int, str, str]:
        self.complaints.append(f"{status} {why}")
        if self.kind == "pagerduty":
            said = json.dumps({"status": "invalid event", "message": "Event object is invalid", "errors": [why]})
        return status, "text/plain", said


@contextmanager
def vendor(kind: str) -> Iterator[Vendor]:
    """Serve one vendor on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            served.requests += 1
            if served.failures:
                failure = served.failures.popleft()
                if failure.status == 0:  # a reset, as a connection that breaks half-way shows it
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    return
                self._answer(failure.status, "text/plain", failure.body, failure.headers)
                return
            self._answer(*served.answer("POST", self.path, self.headers, raw))

        def _answer(self, status: int, kind: str, body: str, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = Vendor(kind, f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
