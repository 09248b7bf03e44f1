"""A worker process of the multiprocess tests: records what stdin says and says so on stdout.

Commands, one a line: `calls N`, `forever` (a line for each call recorded, until killed), `connect`, `scrape`, `quit`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import tachograph
from support.traffic import llm_call, tool_call
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.signals import exposition


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def record_and_wait(calls: int, done: Any) -> None:
    """The same as a multiprocessing target: record, then wait to be let go."""
    recorder = tachograph.get_recorder()
    for _ in range(calls):
        llm_call(recorder)
    done.wait(120)  # what is still on the tape is delivered when the process ends


def main() -> None:
    recorder = tachograph.get_recorder()  # from TACHOGRAPH_METRICS_MULTIPROCESS_DIR
    say("ready")
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "calls":
            for number in range(int(arguments[0])):
                llm_call(recorder, prompt=3, nano_usd=1_000_000_001)
                if number % 2 == 0:
                    tool_call(recorder)
            recorder.settle()
            say("done")
        elif command == "forever":
            while True:
                llm_call(recorder, prompt=3, nano_usd=1_000_000_001)
                say("1")
        elif command == "connect":
            recorder.metrics.part(MCPMetrics).connection_opened("time")
            say("done")
        elif command == "scrape":
            say(json.dumps(exposition.write(recorder.metrics.collect())))
        elif command == "quit":
            return


if __name__ == "__main__":
    main()
