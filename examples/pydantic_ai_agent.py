"""PydanticAI, seen through the client that it uses: python examples/simulated.py examples/pydantic_ai_agent.py

Needs: pip install 'pydantic-ai-slim[openai]'
"""

from __future__ import annotations

from pydantic_ai import Agent
from show import keep, show

import tachograph

tachograph.instrument()

agent = Agent("openai-chat:gpt-5")


def main() -> None:
    keep()
    with tachograph.labels(feature="pydantic-ai"):
        print(agent.run_sync("Say hello.").output)
    print("\nWhat was recorded:")
    show()


if __name__ == "__main__":
    main()
