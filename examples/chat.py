"""Three vendors, one line of watching: python examples/simulated.py examples/chat.py"""

from __future__ import annotations

import anthropic
import openai
from google import genai
from show import keep, show

import tachograph

tachograph.instrument()  # the one line


def main() -> None:
    keep()
    asked = "Say hello to the reader."

    answer = openai.OpenAI().chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": asked}])
    print("openai:", answer.choices[0].message.content)

    with tachograph.labels(team="docs", feature="greeting"):
        claude = anthropic.Anthropic()
        with claude.messages.stream(
            model="claude-opus-4-8", max_tokens=200, messages=[{"role": "user", "content": asked}]
        ) as stream:
            print("anthropic:", "".join(stream.text_stream))

    gemini = genai.Client()
    print("gemini:", gemini.models.generate_content(model="gemini-2.5-flash", contents=asked).text)

    print("\nWhat was recorded:")
    show()


if __name__ == "__main__":
    main()
