"""The local web console: metrics, calls, traces, alerts and money in a browser, with nothing else installed.

start(...)    serve it from a thread of this process
"""

from tachograph.console.server import RunningConsole, start

__all__ = ["RunningConsole", "start"]
