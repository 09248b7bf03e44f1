"""Ways into the console: an in-process registry, /metrics of targets, and OTLP."""
