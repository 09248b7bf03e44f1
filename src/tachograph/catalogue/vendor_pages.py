"""Where to look and whom to ask when a vendor fails: its status page, a check with its own API, limits, support.

Source: the vendors' own pages, checked 2026-11-27 in stored text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class VendorPages:
    """One vendor.

    Attributes:
        provider: The value of the label `provider`.
        name: As people write it.
        status_url: Its status page.
        models_url: A request that costs nothing and needs a key.
        key_header: The header that carries the key.
        limits_url: Rate limits, quota and billing of the account.
        support_url: Where to open a case.
        request_id: The response header to give to its support.
    """

    provider: str
    name: str
    status_url: str
    models_url: str
    key_header: str
    limits_url: str
    support_url: str
    request_id: str

    @property
    def curl(self) -> str:
        """A check of network, key and vendor, which prints the HTTP status and the time."""
        return f"curl -sS -o /dev/null -w '%{{http_code}} %{{time_total}}s\\n' {self.models_url} -H {self.key_header}"


VENDORS: Final = (
    VendorPages(
        "openai",
        "OpenAI",
        "https://status.openai.com",
        "https://api.openai.com/v1/models",
        '"Authorization: Bearer $OPENAI_API_KEY"',
        "https://platform.openai.com/settings/organization/limits",
        "https://help.openai.com",
        "x-request-id",
    ),
    VendorPages(
        "anthropic",
        "Anthropic",
        "https://status.claude.com",
        "https://api.anthropic.com/v1/models",
        '"x-api-key: $ANTHROPIC_API_KEY" -H "anthropic-version: 2023-06-01"',
        "https://platform.claude.com/settings/limits",
        "https://support.claude.com",
        "request-id",
    ),
    VendorPages(
        "gemini",
        "Google Gemini",
        "https://aistudio.google.com/status",
        "https://generativelanguage.googleapis.com/v1beta/models",
        '"x-goog-api-key: $GEMINI_API_KEY"',
        "https://ai.dev/usage?tab=rate-limit",
        "https://ai.google.dev/gemini-api/docs/troubleshooting",
        "x-goog-request-id",
    ),
)


def section() -> str:
    """The section of a runbook: every vendor with its check and its pages."""
    parts = [
        "## Vendor",
        "",
        "The label `provider` names the vendor. Run its check on a machine that fails, with the key that fails.",
        "",
        "- `200`: network, key and vendor work. Look at the requests themselves.",
        "- `401`, `403`: the network works, the key does not.",
        "- `429`: rate limit or quota. `5xx`: the vendor fails.",
        "- No answer: DNS, egress or a proxy of ours; the same from another network shows which.",
        "",
    ]
    for one in VENDORS:
        parts += [
            f"**{one.name}** (`{one.provider}`): [status]({one.status_url}), [limits and billing]({one.limits_url}), "
            f"[support]({one.support_url})",
            "",
            "```sh",
            one.curl,
            "```",
            "",
        ]
    return "\n".join(parts)


def status_template() -> str:
    """A template for the status page of the alert's vendor; empty for a vendor that is not known here."""
    branches = [f'{{{{ if eq $labels.provider "{VENDORS[0].provider}" }}}}{VENDORS[0].status_url}']
    branches += [f'{{{{ else if eq $labels.provider "{one.provider}" }}}}{one.status_url}' for one in VENDORS[1:]]
    return "".join(branches) + "{{ end }}"
