"""The demo: provider simulators, traffic and incidents, nothing of which needs a key or a network."""
