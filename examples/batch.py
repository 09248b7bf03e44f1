"""A batch over several processes: python examples/simulated.py -m tachograph run -- python examples/batch.py

Every worker is watched, forked or spawned, and their numbers add up where they share a directory.
"""

from __future__ import annotations

import multiprocessing
import tempfile

import openai

import tachograph


def summarise(text: str) -> int:
    """One piece of work; returns its tokens."""
    with tachograph.labels(feature="batch"):
        answer = openai.OpenAI().responses.create(model="gpt-5-mini", input=f"Summarise: {text}")
    return answer.usage.total_tokens if answer.usage else 0


def main() -> None:
    with tempfile.TemporaryDirectory() as shared:
        tachograph.configure(metrics={"multiprocess_dir": shared})
        with multiprocessing.get_context("fork").Pool(3) as pool:
            tokens = sum(pool.map(summarise, [f"page {number}" for number in range(12)]))
        counted = 0.0
        for family, samples in tachograph.get_recorder().metrics.collect():
            if family.name == "llm_provider_tokens_total":
                counted = sum(sample.value for sample in samples)
        print(f"12 answers used {tokens} tokens; the metrics of all processes say {counted:.0f}")
        assert counted == tokens


if __name__ == "__main__":
    main()
