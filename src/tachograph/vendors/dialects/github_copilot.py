"""GitHub Copilot."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="github-copilot",
    hosts=("api.githubcopilot.com", ".githubcopilot.com"),
    source="genai-prices 0.2 `data.py`; 2026-11-27",
)
