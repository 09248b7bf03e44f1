"""What may be shown of an exception's text: no keys, no passwords, and without content no echoed prompt.

Vendors and HTTP libraries put into their messages what was sent: URLs with `?key=`, headers, and parts of the prompt
that they object to. The exception itself belongs to the application and stays as it is; this is for spans and drawers.
"""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "[redacted]"
NOT_RECORDED: Final = "[text not recorded]"
LONGEST: Final = 2000
_SPEECH: Final = 40
"""Quoted text that is longer and has a space in it is taken for what was said, not for a name or a value."""

_SECRETS: Final = re.compile(
    r"""(?P<keep>://)[^/\s:@'"]*:[^/\s@'"]*@
      | (?P<parameter>[?&](?:api[_-]?key|key|access_token|token|sig|secret|password
          |(?:x-(?:amz|goog)-)?(?:signature|credential|security-token)|client_secret|code)=)[^&\s"'<>)]+
      | (?P<header>(?:authorization|api[\ _-]?key(?:\ provided)?|subscription-key
          |(?:auth|access|security)[_-]token|password|secret(?:[_-](?:access[_-])?key)?|cookie)["']?\s*[:=]\s*["']?
          (?:(?:bearer|basic)\s+)?)(?:\[redacted\]|[^\s"',;)}\]]+)
      | (?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}
      | \b(?:sk|pk|rk|sess|xai|pplx|csk|nvapi|glpat|tvly)-[\w-]{8,}
      | \b(?:gsk|hf|r8|fw|tgp|jina|lsv2|github_pat)_[\w-]{12,}
      | \bdapi[0-9a-f]{16,}
      | \bAIza[\w-]{20,}
      | \bAQ\.[\w-]{20,}
      | \bya29\.[\w.-]{8,}
      | \b(?:AKIA|ASIA|ABSK)[\w+/=]{12,}
      | \bbedrock-api-key-[\w+/=-]{12,}
      | \bgh[pousr]_\w{16,}
      | \bxox[abprs]-[\w-]{8,}
      | \beyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]+""",
    re.IGNORECASE | re.VERBOSE,
)
_QUOTED: Final = re.compile(
    rf"""(?P<quote>["'`])(?P<text>(?:\\.|(?!(?P=quote))[^\\]){{{_SPEECH},}}?)(?P=quote)""", re.DOTALL
)
_FRAME: Final = re.compile(r'(^ *File "[^"\n]*", line \d+[^\n]*$)', re.MULTILINE)
_INPUT: Final = re.compile(r"""(?P<name>\binput(?:_value)?=)(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^,\]\n]+)""")


def redact(text: str, *, keeps_content: bool) -> str:
    """The text without secrets; where content is not kept, also without what was quoted at length, and cut."""
    if len(text) > 8 * LONGEST:
        text = text[: 8 * LONGEST]
    # half of a surrogate pair would fail the export of a whole batch of spans
    text = text.encode("utf-8", "replace").decode()
    text = _SECRETS.sub(_hide, text)
    if keeps_content:
        return text
    text = _INPUT.sub(lambda found: found["name"] + NOT_RECORDED, text)
    # the path in a traceback's line is quoted too, and its end is not the beginning of a quotation
    return "".join(
        part if number % 2 else _QUOTED.sub(_hide_speech, part) for number, part in enumerate(_FRAME.split(text))
    )


def _hide(found: re.Match[str]) -> str:
    if found["keep"]:
        return f"://{HIDDEN}@"
    return (found["parameter"] or found["header"] or found["scheme"] or "") + HIDDEN


def _hide_speech(found: re.Match[str]) -> str:
    said = any(letter.isspace() for letter in found["text"])
    return f"{found['quote']}{NOT_RECORDED}{found['quote']}" if said else found[0]
