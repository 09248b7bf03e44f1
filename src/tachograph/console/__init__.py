"""The local web console: metrics, calls, traces, alerts and money in a browser, with nothing else installed."""
