"""LangChain, seen through the clients that it uses: python examples/simulated.py examples/langchain_chat.py

Needs: pip install langchain-openai langchain-anthropic
"""

from __future__ import annotations

from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from show import keep, show

import tachograph

tachograph.instrument()


def main() -> None:
    keep()
    with tachograph.labels(feature="langchain"):
        print("whole:", ChatOpenAI(model="gpt-5").invoke("Say hello.").content)
        print("streamed:", "".join(str(chunk.content) for chunk in ChatOpenAI(model="gpt-5").stream("Say hello.")))
        claude = ChatAnthropic(model="claude-opus-4-8", max_tokens=200)  # type: ignore[call-arg]
        print("claude:", claude.invoke("Say hello.").content)
    print("\nWhat was recorded:")
    show()


if __name__ == "__main__":
    main()
