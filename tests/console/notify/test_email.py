"""Mail goes through a real SMTP server: STARTTLS, TLS, login, and what the server may refuse."""

from __future__ import annotations

import email
import email.policy
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from support.prometheus import free_port
from tachograph.console.notify.delivery import DeliveryError
from tachograph.console.notify.message import Notification, NotifiedAlert
from tachograph.console.notify.receivers import deliver
from tachograph.settings.notify import Email

PASSWORD = "the-password-of-the-mail-account"
AT = 1_700_000_000.0


class Inbox:
    """What the server took, and what it answers instead."""

    def __init__(self) -> None:
        self.mails: list[tuple[Envelope, EmailMessage]] = []
        self.encrypted: list[bool] = []
        self.answer = "250 OK"
        self.refused: dict[str, str] = {}

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            message = email.message_from_bytes(content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            self.mails.append((envelope, message))
            self.encrypted.append(session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None)
        return self.answer


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    ok = isinstance(data, LoginPassword) and (data.login, data.password) == (b"alerts", PASSWORD.encode())
    return AuthResult(success=ok, handled=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process trust it, as an administrator would."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setenv("TEST_MAIL", PASSWORD)


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    """The server's side of TLS."""
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(found)
    return found


class _Tls(Controller):
    """TLS from the first byte; logins are allowed there."""

    def factory(self) -> SMTP:
        return SMTP(self.handler, authenticator=_authenticate, auth_require_tls=False, auth_required=True)


def _serve(controller: Controller) -> Iterator[int]:
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def starttls(inbox: Inbox, context: ssl.SSLContext, trusted: None) -> Iterator[int]:
    """A server that requires STARTTLS and a login; its port."""
    yield from _serve(
        Controller(
            inbox,
            hostname="127.0.0.1",
            port=free_port(),
            tls_context=context,
            require_starttls=True,
            authenticator=_authenticate,
            auth_required=True,
        )
    )


@pytest.fixture
def tls(inbox: Inbox, context: ssl.SSLContext, trusted: None) -> Iterator[int]:
    yield from _serve(_Tls(inbox, hostname="127.0.0.1", port=free_port(), ssl_context=context))


@pytest.fixture
def plain(inbox: Inbox) -> Iterator[int]:
    yield from _serve(Controller(inbox, hostname="127.0.0.1", port=free_port()))


def settings(port: int, **more: Any) -> Email:
    base: dict[str, Any] = {"to": ("on-call@example.com",), "sender": "Tachograph <alerts@example.com>"}
    return Email(**base | {"host": "127.0.0.1", "port": port} | more)


def login(port: int, **more: Any) -> Email:
    return settings(port, **{"username": "alerts", "password_env": "TEST_MAIL"} | more)


def notification(summary: str = "openai fails every call", **more: Any) -> Notification:
    alert = NotifiedAlert(
        labels={"alertname": "LLMProviderDown", "severity": "critical", "provider": "openai"},
        annotations={"summary": summary, "description": "7 calls failed.", "runbook_url": "https://wiki.example/down"},
        since=AT - 200,
    )
    base: dict[str, Any] = {"receiver": "mail", "key": "k", "labels": {}, "firing": (alert,), "at": AT}
    return Notification(**base | more)


def test_starttls_and_login_bring_the_mail(starttls: int, inbox: Inbox) -> None:
    deliver(login(starttls), notification(), 5)
    ((envelope, message),) = inbox.mails
    assert inbox.encrypted == [True]
    assert envelope.rcpt_tos == ["on-call@example.com"]
    assert message["Subject"] == "CRITICAL: openai fails every call"
    assert str(message["From"]) == "Tachograph <alerts@example.com>"
    text = message.get_content()
    assert "Runbook: https://wiki.example/down" in text
    assert "Since 2023-11-14 22:10 UTC (3 min 20 s)" in text


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # it does not see that TLS is there
def test_tls_from_the_first_byte_brings_the_mail(tls: int, inbox: Inbox) -> None:
    deliver(login(tls, security="tls"), notification(), 5)
    assert inbox.encrypted == [True]


def test_a_server_without_starttls_is_not_told_the_password(plain: int, inbox: Inbox, trusted: None) -> None:
    with pytest.raises(DeliveryError, match="does not offer STARTTLS") as caught:
        deliver(login(plain), notification(), 5)
    assert not caught.value.is_temporary
    assert inbox.mails == []


def test_a_certificate_of_nobody_known_is_refused(starttls: int, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(DeliveryError, match=r"certificate|self-signed"):
        deliver(login(starttls), notification(), 5)
    assert inbox.mails == []


def test_a_wrong_password_is_an_error_that_does_not_show_it(
    starttls: int, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_MAIL", "wrong-password-of-mine")
    with pytest.raises(DeliveryError, match="refused the login: 535") as caught:
        deliver(login(starttls), notification(), 5)
    assert not caught.value.is_temporary
    assert "wrong-password-of-mine" not in str(caught.value)


@pytest.mark.parametrize(("answer", "is_temporary"), [("451 4.3.0 try later", True), ("554 5.7.1 spam", False)])
def test_a_refusal_is_temporary_as_its_code_says(plain: int, inbox: Inbox, answer: str, is_temporary: bool) -> None:
    inbox.answer = answer
    with pytest.raises(DeliveryError, match=answer[:3]) as caught:
        deliver(settings(plain, security="none"), notification(), 5)
    assert caught.value.is_temporary is is_temporary


def test_one_refused_address_is_said_and_the_others_are_not_told_twice(plain: int, inbox: Inbox) -> None:
    inbox.refused["gone@example.com"] = "550 no such user"
    both = settings(plain, security="none", to=("gone@example.com", "on-call@example.com"))
    said = deliver(both, notification(), 5)
    assert said == "127.0.0.1 refused gone@example.com (550 no such user)"
    assert [envelope.rcpt_tos for envelope, _ in inbox.mails] == [["on-call@example.com"]]


def test_a_server_that_is_not_there_is_worth_another_try() -> None:
    with pytest.raises(DeliveryError, match="refused") as caught:
        deliver(settings(free_port(), security="none"), notification(), 2)
    assert caught.value.is_temporary


def test_a_line_break_in_a_label_adds_no_header(plain: int, inbox: Inbox) -> None:
    deliver(settings(plain, security="none"), notification("a\r\nBcc: all@example.com\r\n\r\nx"), 5)
    ((envelope, message),) = inbox.mails
    assert "Bcc" not in message
    assert envelope.rcpt_tos == ["on-call@example.com"]
    assert message["Subject"] == "CRITICAL: a Bcc: all@example.com x"


def test_mails_about_one_group_make_a_thread_and_a_copy_has_the_same_id(plain: int, inbox: Inbox) -> None:
    to = settings(plain, security="none")
    for one in (notification(), notification(), notification(number=1)):
        deliver(to, one, 5)
    ids = [message["Message-ID"] for _, message in inbox.mails]
    assert ids[0] == ids[1] != ids[2]
    assert len({message["References"] for _, message in inbox.mails}) == 1
