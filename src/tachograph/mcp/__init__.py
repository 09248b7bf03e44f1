"""The MCP side: client, registry, tool factory, executor, errors, and their metrics."""
