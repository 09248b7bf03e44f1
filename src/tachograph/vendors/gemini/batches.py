"""How Gemini's batches are read: asked for many times, their usage counts once.

A job's answers are in it where its requests did (`inlined_responses`). Those that it writes to a file or a bucket are
read by the application itself and are not seen.
"""

from __future__ import annotations

from tachograph.records import LLMCall, Usage
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.fields import count, items, pick, text, word
from tachograph.vendors.gemini.generation import Hop
from tachograph.vendors.gemini.requests import short_model
from tachograph.vendors.once import COUNTED
from tachograph.vendors.usage import Reading


def read_batch(call: LLMCall, job: object) -> ErrorType | None:
    """A batch: its usage counts the first time that it is read with answers in it."""
    call.model = short_model(pick(job, "model"))
    call.response_id = name = text(job, "name")
    call.finish_reason = word(pick(job, "state"))
    call.service_tier = "batch"
    readings = [*_generated(job, call.model), *_embedded(job)]
    if not readings or name is None or not COUNTED.first_time(name):
        call.counts_usage = False
        return None
    total = readings[0]
    for reading in readings[1:]:
        total = total + reading
    total.put(call)
    call.service_tier = "batch"
    call.usages = tuple(reading.usage for reading in readings if reading.usage is not None)
    return None


def _generated(job: object, model: str) -> list[Reading]:
    readings = []
    for inlined in items(pick(job, "dest"), "inlined_responses"):
        response = pick(inlined, "response")
        if response is not None:
            hop = Hop()
            hop.feed(response)
            readings.append(hop.read(model))
    return [reading for reading in readings if reading.usage is not None]


def _embedded(job: object) -> list[Reading]:
    found = items(pick(job, "dest"), "inlined_embed_content_responses")
    counts = (count(pick(inlined, "response"), "token_count") for inlined in found)
    return [Reading(Usage(tokens)) for tokens in counts if tokens]
