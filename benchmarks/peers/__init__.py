"""One module per peer: `start(emitted)` switches it on in this process, in its best configuration.

`emitted` says what to do with what it emits: `Dropped` throws it away (cost), `Kept` keeps it for reading (truth).
"""
