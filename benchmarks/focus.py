"""How long `tachograph export-focus` takes: a ledger of so many calls is filled, and exported as Parquet and as CSV.

    python -m benchmarks.focus [--rows 500000] [--limit SECONDS]

A row of the file is one call (`--by call`). Ends with 1 where an export takes longer than the limit.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tachograph.records.ids import new_id
from tachograph.usage.focus import export
from tachograph.usage.row import Row
from tachograph.usage.stores.open import open_store

_BATCH = 20_000
_MODELS = (
    ("openai", "gpt-5"),
    ("openai", "gpt-5-mini"),
    ("anthropic", "claude-sonnet-5"),
    ("gemini", "gemini-2.5-pro"),
)


def fill(path: Path, rows: int) -> None:
    """A ledger of so many calls over a month."""
    rng = random.Random(1)
    store = open_store(f"sqlite:///{path}", rollup_labels=(), timeout_seconds=60, read_only=False)
    begins = 1_793_491_200_000_000
    try:
        for first in range(0, rows, _BATCH):
            batch = []
            for number in range(first, min(rows, first + _BATCH)):
                provider, model = _MODELS[number % len(_MODELS)]
                row = Row(
                    new_id(), begins + number * 5_000_000, "llm", provider, model, "chat", "success",
                    latency_us=rng.randint(10**5, 10**7), input_tokens=rng.randint(50, 5000),
                    output_tokens=rng.randint(5, 900), cost_nusd=rng.randint(10**4, 10**8), cost_quality="priced",
                    labels={"team": f"team-{number % 20}"},
                )  # fmt: skip
                batch.append(row)
            store.write(batch, ingested_us=begins)
    finally:
        store.close()


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--limit", type=float, default=20.0, help="seconds that one export may take (20)")
    arguments = parser.parse_args()
    slowest = 0.0
    with tempfile.TemporaryDirectory(prefix="tg-focus-") as name:
        path = Path(name) / "ledger.db"
        fill(path, arguments.rows)
        for ending in ("parquet", "csv"):
            began, used = time.perf_counter(), time.process_time()
            store = open_store(f"sqlite:///{path}", read_only=True, create=False)
            file = Path(name) / f"focus.{ending}"
            done = export(store, file, since_us=0, until_us=2**62, account="a", by="call", as_csv=ending == "csv")
            store.close()
            seconds = time.perf_counter() - began
            slowest = max(slowest, seconds)
            cpu, size = time.process_time() - used, file.stat().st_size / 1e6
            print(f"{ending}: {done.rows:,} rows in {seconds:.1f} s, {cpu:.1f} s of CPU time, {size:.0f} MB")
            assert done.rows == arguments.rows
    return 0 if slowest <= arguments.limit else 1


if __name__ == "__main__":
    sys.exit(main())
