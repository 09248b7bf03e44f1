"""Mail through an SMTP server, as plain text; all mails about one group make one thread."""

from __future__ import annotations

import email.utils
import hashlib
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Final

from tachograph.console.notify.delivery import DeliveryError
from tachograph.console.notify.message import Notification, clip, one_line, text_of
from tachograph.settings.notify import Email

PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}


def send(settings: Email, notification: Notification, password: str, *, timeout: float) -> str:
    """Send one mail to all addresses; returns which of them the server refused, or nothing.

    Raises:
        DeliveryError: The server did not take it, or could not be reached.
    """
    port = settings.port or PORTS[settings.security]
    context = ssl.create_default_context()
    try:
        message = mail(settings, notification)
        with (
            smtplib.SMTP_SSL(settings.host, port, timeout=timeout, context=context)
            if settings.security == "tls"
            else smtplib.SMTP(settings.host, port, timeout=timeout)
        ) as server:
            if settings.security == "starttls":
                server.starttls(context=context)
            if settings.username is not None:
                server.login(settings.username, password)
            refused = server.send_message(message)
    except smtplib.SMTPNotSupportedError as error:
        missing = "STARTTLS" if settings.security == "starttls" and "STARTTLS" in str(error) else "this login"
        do = "set security to tls or none" if missing == "STARTTLS" else "check username and security"
        raise DeliveryError(f"{settings.host} does not offer {missing}: {do}", is_temporary=False) from None
    except smtplib.SMTPAuthenticationError as error:
        said = _said(error.smtp_error)
        raise DeliveryError(
            f"{settings.host} refused the login: {error.smtp_code} {said}", is_temporary=error.smtp_code < 500
        ) from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise DeliveryError(
            f"{settings.host} refused every address: {_recipients(error.recipients)}",
            is_temporary=any(code < 500 for code in codes),
        ) from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(
            f"{settings.host} answered {error.smtp_code} {_said(error.smtp_error)}",
            is_temporary=error.smtp_code < 500,
        ) from None
    except (smtplib.SMTPException, TimeoutError, ConnectionError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else "the connection broke or was refused"
        raise DeliveryError(f"{settings.host}: {reason}", is_temporary=True) from None
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or "TLS failed"
        raise DeliveryError(f"{settings.host}: {why}", is_temporary=True) from None
    except OSError as error:
        raise DeliveryError(f"{settings.host}: {error.strerror or type(error).__name__}", is_temporary=True) from None
    except ValueError as error:
        raise DeliveryError(f"the mail cannot be written: {error}", is_temporary=False) from None
    # The others have it: another try would notify them twice.
    return f"{settings.host} refused {_recipients(refused)}" if refused else ""


def mail(settings: Email, notification: Notification) -> EmailMessage:
    """The mail. Its Message-ID is the same for a copy, so that mail programs show it once.

    Raises:
        ValueError: An address cannot be read.
    """
    domain = settings.sender.rpartition("@")[2].strip(" >") or "localhost"
    thread = hashlib.sha256(notification.key.encode()).hexdigest()[:24]
    message = EmailMessage()
    message["From"] = _address(settings.sender)
    message["To"] = [_address(one) for one in settings.to]
    message["Subject"] = clip(one_line(notification.title), 180)
    message["Date"] = email.utils.formatdate(notification.at)
    message["Message-ID"] = f"<{notification.identity}@{domain}>"
    message["References"] = f"<{thread}.tachograph@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Tachograph-Group"] = thread
    message.set_content(text_of(notification) + "\n\n-- \nSent by Tachograph.\n")
    return message


def _address(text: str) -> Address:
    name, found = email.utils.parseaddr(text)
    if "@" not in found:
        raise ValueError(f"{text!r} is no mail address")
    return Address(display_name=name, addr_spec=found)


def _said(text: bytes | str) -> str:
    return one_line(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)[:200]


def _recipients(refused: dict[str, tuple[int, bytes]]) -> str:
    return ", ".join(f"{who} ({code} {_said(why)})" for who, (code, why) in refused.items())
