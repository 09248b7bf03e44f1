"""How each vendor's answers are read: one reader for each API, used by our engine, by watched clients and on the wire.

Readers are pure. They take a record to fill, and an answer or the chunks of one: a model of an SDK, a dictionary or
loose JSON, of which any field may be missing, null or odd. What is not reported stays None, never zero.

Prompt tokens include cached ones, completion tokens include reasoning, for every vendor.
"""
