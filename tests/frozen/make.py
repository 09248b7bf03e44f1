"""Writes one frozen set: a ledger, a journal that no writer has drained, a console's database, as this code makes them.

    PYTHONPATH=src:tests python tests/frozen/make.py NAME

makes tests/frozen/NAME.tar.gz and NAME.json beside it, with what the files hold. Run it at each release; a set is never
made again. To make one of an older edition, run it with that edition's src first on the path.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

CALLS = 40
DRAINED = 30
CONSOLE_CALLS = 12


def main(name: str) -> None:
    """Make the set."""
    import apsw

    from support.ledgers import make_recorder, one_call, one_tool_call, sums
    from tachograph.console.store import CallStore

    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made) / name
        recorder: Any = make_recorder(directory, writer="external")
        for number in range(DRAINED):
            one_call(recorder, number, team="search" if number % 2 else "ads")
        one_tool_call(recorder)
        recorder.ledger.drain(30)
        for number in range(DRAINED, CALLS):
            one_call(recorder, number, team="late")
        recorder.ledger.flush(0)
        store = recorder.ledger.open_store(read_only=True)
        expected: dict[str, Any] = {"stored": sums(store, raw=True), "rows": store.count()}
        store.close()
        recorder.ledger._queue.after_fork_in_child()  # releases the journal, as the end of the process does
        console = CallStore(directory / "console.db", max_age_seconds=1e10)
        console.add_all(_items(), wait=True)
        expected["console"] = console.count
        console.close()
        for path in directory.glob("*.db"):
            apsw.Connection(str(path)).execute("PRAGMA wal_checkpoint(TRUNCATE); VACUUM").fetchall()
        kept = [directory / "ledger.db", directory / "console.db", directory / "host", directory / "journals"]
        with tarfile.open(here / f"{name}.tar.gz", "w:gz", compresslevel=9) as archive:
            for path in kept:
                archive.add(path, path.name)
    (here / f"{name}.json").write_text(json.dumps(expected, indent=1) + "\n", "utf-8")


def _items() -> list[Any]:
    from tachograph.console.ingest.otlp.traces import read

    spans = [
        {
            "traceId": f"{number + 1:032x}",
            "spanId": f"{number + 1:016x}",
            "name": "chat gpt-5",
            "startTimeUnixNano": str(1_764_000_000_000_000_000 + number * 1_000_000_000),
            "endTimeUnixNano": str(1_764_000_000_500_000_000 + number * 1_000_000_000),
            "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                {"key": "gen_ai.system", "value": {"stringValue": "openai"}},
                {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-5"}},
                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": str(10 + number)}},
                {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "5"}},
            ],
        }
        for number in range(CONSOLE_CALLS)
    ]
    return read({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})[0]


if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1])
