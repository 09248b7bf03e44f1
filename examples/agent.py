"""An agent with MCP tools: python examples/simulated.py examples/agent.py

The model asks for a tool, the tool runs in an MCP server (`mcp_server.py`), the model gets its answer. Every model
call and every tool call is recorded, each once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import openai
from mcp import Client, StdioServerParameters
from show import keep, show

import tachograph

tachograph.instrument()


async def main() -> None:
    keep()
    server = StdioServerParameters(command=sys.executable, args=[str(Path(__file__).with_name("mcp_server.py"))])
    model = openai.AsyncOpenAI()
    async with Client(server) as tools:
        offered: Any = [
            {"type": "function", "name": tool.name, "parameters": tool.input_schema}
            for tool in (await tools.list_tools()).tools
        ]
        history: Any = [{"role": "user", "content": "Will I need an umbrella in Ulm tomorrow?"}]
        for _ in range(3):
            answer = await model.responses.create(model="gpt-5", input=history, tools=offered)
            wanted = [item for item in answer.output if item.type == "function_call"]
            if not wanted:
                print(answer.output_text)
                break
            history += answer.output
            for call in wanted:
                result = await tools.call_tool(call.name, json.loads(call.arguments))
                said = " ".join(getattr(block, "text", "") for block in result.content)
                history.append({"type": "function_call_output", "call_id": call.call_id, "output": said})
    print("\nWhat was recorded:")
    show()


if __name__ == "__main__":
    asyncio.run(main())
