"""Who may ask, and how answers are sent: sessions and tokens, Host and Origin, headers.

Reading needs a session cookie (from the login link, which works once, or from the token in the login form) or the
token as a Bearer or Basic password. A session ends after a week, or at `POST /logout`. A page of another
site can neither read nor write: names other than this machine's are refused as Host (DNS rebinding), foreign Origins
are refused, and the cookie never travels with requests from other sites.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import secrets
import time
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION_SECONDS = 7 * 86400
MAX_FORM = 4096
MAX_SESSIONS = 1000
LOOK = frozenset(f"/static/{name}" for name in ("app.css", "icon.svg", "fonts/inter-latin.woff2", "js/theme.js"))
"""What the login page is drawn with; it is the same in every console."""
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser sends the login form with `Origin: null`
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def problem(what: str, *, where: str = "", do: str = "", status: int = 400) -> JSONResponse:
    """An error in the console API's shape."""
    return JSONResponse({"error": {"what": what, "where": where, "do": do}}, status_code=status)


class AccessGuard:
    """Decides about every request before anything else sees it.

    Args:
        token: The secret of this run.
        ticket: What the login link holds instead; good for one login.
        open_reading: No login is needed (only allowed on loopback).
        open_otlp: OTLP senders need no token.
        hosts: Further names under which the console may be asked.
        cookie: Name of the session cookie; holds the port, as cookies do not distinguish ports.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        ticket: str = "",
        open_reading: bool = False,
        open_otlp: bool = True,
        hosts: Iterable[str] = (),
        cookie: str = "tachograph_session",
    ) -> None:
        self.app = app
        self._token = token
        self._ticket = ticket
        self._open_reading, self._open_otlp = open_reading, open_otlp
        self._hosts = {host.lower() for host in hosts} | {"localhost"}
        self._cookie = cookie
        self._sessions: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        path = scope["path"]

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if not path.startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope, receive)
        answer = self._check(request, path)
        if answer is None and path == "/login":
            answer = await self._login(request)
        if answer is not None:
            await answer(scope, receive, guarded_send)
            return
        await self.app(scope, receive, guarded_send)

    def _check(self, request: Request, path: str) -> Response | None:
        headers = request.headers
        host = headers.get("host", "")
        if not self._known_host(host):
            return problem(
                f"the console is not asked by the name {host[:200]!r}",
                where="header Host",
                do="Use 127.0.0.1 or localhost, or start it with --allow-host NAME.",
                status=421,
            )
        origin = headers.get("origin")
        if origin is not None and not _same_origin(origin, host):
            return problem("a page of another site may not use the console", where="header Origin", status=403)
        if origin is None and headers.get("sec-fetch-site") == "cross-site" and path != "/login" and path != "/":
            return problem("a page of another site may not use the console", where="header Sec-Fetch-Site", status=403)
        if path == "/login":
            return None
        if path == "/logout":
            return self._logout(request)
        if path in ("/-/healthy", "/-/ready") or path in LOOK:
            return None
        if path.startswith("/v1/"):
            if self._open_otlp or self._has_token(headers):
                return None
            return problem("this sender is not known", where="header Authorization", do=_BEARER, status=401)
        if self._open_reading or self._has_token(headers) or self._has_session(headers):
            return None
        if path.startswith("/api/v1/"):
            body = {"status": "error", "errorType": "unauthorized", "error": f"not logged in. {_BEARER}"}
            return JSONResponse(body, status_code=401, headers={"WWW-Authenticate": 'Basic realm="tachograph"'})
        if path.startswith("/api/"):
            return problem("this browser is not logged in", do=_LOGIN, status=401)
        return _refused(_NOT_LOGGED_IN)

    def _known_host(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").lower()
        if name in self._hosts:
            return True
        try:
            # An address cannot be rebound to another one; a name can.
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_token(self, headers: Headers) -> bool:
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._is_token(value.strip())
        if kind.lower() == "basic":
            try:
                _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return False
            return self._is_token(password)
        return False

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())

    def _has_session(self, headers: Headers) -> bool:
        expires = self._sessions.get(self._session_of(headers))
        return expires is not None and expires > time.time()

    def _session_of(self, headers: Headers) -> str:
        cookie: SimpleCookie = SimpleCookie()
        try:
            cookie.load(headers.get("cookie", ""))
        except CookieError:
            return ""
        found = cookie.get(self._cookie)
        return found.value if found is not None else ""

    async def _login(self, request: Request) -> Response:
        """Log in with the link's ticket, which is spent by it, or with the token from the form."""
        if request.method == "POST":
            return self._begin_session(request) if self._is_token(await _token_in(request)) else _refused(_WRONG)
        given = request.query_params.get("ticket", "")
        if request.method == "GET" and given and self._ticket and hmac.compare_digest(given, self._ticket):
            self._ticket = ""
            return self._begin_session(request)
        return _refused(_SPENT if given else _NOT_LOGGED_IN)

    def _begin_session(self, request: Request) -> Response:
        now = time.time()
        self._sessions = {key: expires for key, expires in self._sessions.items() if expires > now}
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session = secrets.token_urlsafe(32)
        self._sessions[session] = now + SESSION_SECONDS
        # Not a redirect: a strict cookie would not travel with one that another site's link began.
        answer = HTMLResponse(_LOGGED_IN)
        answer.set_cookie(
            self._cookie,
            session,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            path="/",
            secure=request.url.scheme == "https",
        )
        return answer

    def _logout(self, request: Request) -> Response:
        """End the session of this browser, or with `everywhere=1` all sessions."""
        if request.method != "POST":
            return problem("send POST to end a session", where="/logout", status=405)
        if not (self._has_token(request.headers) or self._has_session(request.headers)):
            return problem("this browser is not logged in", do=_LOGIN, status=401)
        if request.query_params.get("everywhere") == "1":
            self._sessions.clear()
        else:
            self._sessions.pop(self._session_of(request.headers), None)
        answer = HTMLResponse(_LOGGED_OUT)
        answer.delete_cookie(self._cookie, path="/")
        return answer


async def _token_in(request: Request) -> str:
    """The token that the login form sends."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM:
            return ""
    return dict(parse_qsl(body.decode("latin-1"))).get("token", "")


def _refused(text: str) -> Response:
    return HTMLResponse(_PAGE.format(head="", text=text, form=_FORM), status_code=401)


def _same_origin(origin: str, host: str) -> bool:
    scheme, _, rest = origin.partition("://")
    return scheme in ("http", "https") and rest.lower() == host.lower()


_BEARER = "Send the token that the console printed: Authorization: Bearer TOKEN."
_LOGIN = "Open the login link that `tachograph console` printed when it started."
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
{head}<meta name="color-scheme" content="dark light"><title>Tachograph</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/static/app.css">
<script src="/static/js/theme.js"></script></head>
<body><main class="fatal"><img src="/static/icon.svg" alt="" width="44" height="44"><h1>Tachograph</h1>
<p class="muted">{text}</p>{form}</main></body></html>
"""
_FORM = """<form class="card login" method="post" action="/login"><label class="field wide"><span>Token</span>
<input type="password" name="token" autocomplete="current-password" required autofocus></label>
<button class="button">Log in</button></form>"""
_NOT_LOGGED_IN = f"This browser is not logged in. {_LOGIN.replace('`', '')}"
_SPENT = "This login link was used before, or is from an earlier start. A link works once: enter the token instead."
_WRONG = "This is not the token of this console."
_LOGGED_OUT = _PAGE.format(head="", text="Logged out.", form=_FORM)
_LOGGED_IN = _PAGE.format(
    head='<meta http-equiv="refresh" content="0;url=/">', text='Logged in. <a href="/">Open the console</a>.', form=""
)
