"""Production monitoring for Python applications that call LLM providers and MCP tools."""

from tachograph.version import __version__

__all__ = ["__version__"]
