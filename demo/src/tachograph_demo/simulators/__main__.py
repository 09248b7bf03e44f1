"""`python -m tachograph_demo.simulators`: the simulators as a process of their own.

Prints one line of JSON with the base URLs, then serves until Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading

from tachograph.option_values import seed, whole

from .fleet import Simulators


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tachograph_demo.simulators", description=__doc__)
    parser.add_argument(
        "--port", type=whole(0, 65533), default=0, help="first of three ports in a row (0: any free ones)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same answers")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    first = options.port
    simulators = Simulators(seed=options.seed)
    simulators.start(ports=(first, first + 1, first + 2) if first else (0, 0, 0))
    print(json.dumps({**simulators.urls, "azure": simulators.openai.azure_url}), flush=True)
    ended.wait()
    simulators.stop()


if __name__ == "__main__":
    main()
