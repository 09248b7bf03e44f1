"""`tachograph collect`: OTLP of other senders into the ledger and the metrics, as a service.

start(...)    serve it from a thread of this process
"""

from tachograph.collect.service import RunningCollector, start

__all__ = ["RunningCollector", "start"]
