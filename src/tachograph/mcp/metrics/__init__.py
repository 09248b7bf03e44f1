"""The metrics of the MCP side: which families there are, and what a finished tool call adds to them."""
