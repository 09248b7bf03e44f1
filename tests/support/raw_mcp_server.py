"""An MCP server over stdio with bad habits, without an SDK: `python raw_mcp_server.py [habit]`."""

import json
import sys
import time
from typing import Any

LONG = 4 << 20
"""Characters of the answer of `long`."""


def answer(message: dict[str, Any], habit: str) -> dict[str, Any] | None:
    """The result of a request, or None for one that is not answered."""
    match message["method"], message.get("params", {}).get("name"):
        case "initialize", _:
            told = {"name": "raw", "version": "1"}
            return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": told}
        case "tools/list", _:
            schema = {"type": "object", "properties": {"größe": {"type": "integer"}}}
            tools = [{"name": name, "inputSchema": schema} for name in ("long", "unknown_block", "arguments")]
            return {"tools": tools, **({"nextCursor": "again"} if habit == "lists in a circle" else {})}
        case "tools/call", "long":
            return {"content": [{"type": "text", "text": "x" * LONG}]}
        case "tools/call", "arguments":
            return {"content": [{"type": "text", "text": json.dumps(message["params"]["arguments"])}]}
        case "tools/call", "unknown_block":
            return {"content": [{"type": "hologram", "text": "card 4111"}]}
    return None


def main(habit: str) -> None:
    if habit == "never answers":
        time.sleep(600)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = answer(message, habit)
        outcome = {"result": result} if result else {"error": {"code": -32601, "message": "Method not found"}}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **outcome}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
