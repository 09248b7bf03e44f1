"""Run an example against simulators instead of vendors: python examples/simulated.py examples/chat.py

Starts the simulators on loopback, sets the variables by which every SDK finds its vendor, and runs the program.
Leave it out, and set real keys, and the same program talks to the vendors.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from tachograph_demo.simulators import Answer, AskedRequest, Simulators, ToolCall


def wants_forecast(request: AskedRequest) -> bool:
    """Whether a request offers the tool `forecast` and brings no result of it yet."""
    said = str(request.body)
    return "forecast" in said and "function_call_output" not in said


def main() -> int:
    with Simulators(seed=7) as simulators, tempfile.TemporaryDirectory() as ledger:
        simulators.openai.always(Answer(tool_calls=[ToolCall("forecast", {"city": "Ulm"})]), when=wants_forecast)
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": simulators.openai.url,
            "OPENAI_API_KEY": "simulated",
            "ANTHROPIC_BASE_URL": simulators.anthropic.url,
            "ANTHROPIC_API_KEY": "simulated",
            "GOOGLE_GEMINI_BASE_URL": simulators.gemini.url,
            "GEMINI_API_KEY": "simulated",
            "TACHOGRAPH_LEDGER_DATA_DIR": ledger,  # not among your own records
            "TACHOGRAPH_INSTRUMENT_INCLUDE_USAGE": "always",  # the simulators understand it
        }
        return subprocess.run([sys.executable, *sys.argv[1:]], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
