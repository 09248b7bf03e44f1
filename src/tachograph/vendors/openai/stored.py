"""How OpenAI's batches, runs of assistants and of evals, videos and fine-tuning jobs are read.

They are asked for many times, and their usage counts once.
"""

from __future__ import annotations

from typing import Any

from tachograph.records import LLMCall, Usage
from tachograph.records.media import seconds_of, video_of
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.api import TAIL, WholeAnswer
from tachograph.vendors.dialects import dialect_for
from tachograph.vendors.fields import count, items, pick, text
from tachograph.vendors.once import COUNTED, JOBS
from tachograph.vendors.openai.errors import openai_failure
from tachograph.vendors.openai.usage import read_usage

_ENDED = ("completed", "failed", "expired", "cancelled", "incomplete")


def read_batch(call: LLMCall, answer: object) -> ErrorType | None:
    """A batch: its usage counts the first time that it is read with one."""
    call.model = text(answer, "model") or call.model
    call.service_tier = "batch"
    call.request_count = count(pick(answer, "request_counts"), "completed") or 0
    return _count_once(call, answer)


def read_run(call: LLMCall, answer: object) -> ErrorType | None:
    """A run of an assistant: its usage counts the first time that it is read with one."""
    call.model = call.response_model = text(answer, "model") or call.model
    call.request_count = 0  # a run asks the model as often as it must
    return _count_once(call, answer)


def read_eval_run(call: LLMCall, answer: object) -> ErrorType | None:
    """A run of an eval: the first time that it is read with its usage, a record for each model that took part.

    The first one is this call's; the graders' are its children.
    """
    call.model = text(answer, "model") or call.model
    call.response_id = run_id = text(answer, "id")
    call.finish_reason = text(answer, "status")
    told = items(answer, "per_model_usage")
    used = [(text(each, "model_name") or text(each, "run_model_name") or "unknown", each) for each in told]
    used = [(model, each) for model, each in used if read_usage(each).usage is not None]
    if call.finish_reason not in EVAL_ENDED or not used or run_id is None or not COUNTED.first_time(run_id):
        call.counts_usage = False
        return None
    for number, (model, each) in enumerate(used):
        record = call if number == 0 else call.another(model)
        record.model = record.response_model = model
        record.request_count = count(each, "invocation_count") or 0
        read_usage(each, dialect_for(call)).put(record)
        if record is not call:
            record.api, record.response_id, record.parent_id = call.api, run_id, call.id
            record.finish("success")
    return None


EVAL_ENDED = ("completed", "failed", "canceled")


def read_video(call: LLMCall, answer: object) -> ErrorType | None:
    """A video: it is billed by its seconds, the first time that it is read whole."""
    call.model = text(answer, "model") or call.model
    seconds, size = seconds_of("", answer), text(answer, "size")
    job, asked = text(answer, "id") or "", seconds_of("", call.body)
    if call.operation == "video_generation" and asked:
        JOBS.note(job, video_of(call.model, None, size), asked)
    item, seconds = JOBS.asked(job) or (video_of(call.model, None, size), seconds)
    return _bill_once(call, answer, {item: seconds} if seconds else None)


def read_fine_tuning(call: LLMCall, answer: object) -> ErrorType | None:
    """A fine-tuning job: it is billed by the tokens that it was trained with, the first time that it is read whole."""
    call.model = text(answer, "model") or call.model
    trained = count(answer, "trained_tokens")
    return _bill_once(call, answer, {"trained_token": trained} if trained else None)


def _bill_once(call: LLMCall, answer: object, uses: dict[str, int] | None) -> ErrorType | None:
    call.response_id = text(answer, "id")
    call.finish_reason = text(answer, "status")
    is_whole = call.finish_reason in _BILLED
    if uses and is_whole and call.response_id and COUNTED.first_time(call.response_id):
        call.usage = Usage(tool_uses=uses)
    else:
        call.counts_usage = False
    return None


_BILLED = ("completed", "succeeded", "cancelled")
"""How a job ends that is billed: one that fails is not."""


def read_conversation(call: LLMCall, answer: object) -> ErrorType | None:
    """A conversation, or what was added to one. Mistral's answer in it, with usage; OpenAI's say nothing."""
    call.response_id = text(answer, "id") or text(answer, "conversation_id")
    reading = read_usage(pick(answer, "usage"), dialect_for(call))
    reading.put(call)
    call.counts_usage = reading.usage is not None
    return None


def _count_once(call: LLMCall, answer: object) -> ErrorType | None:
    call.response_id = text(answer, "id")
    call.finish_reason = text(answer, "status")
    reading = read_usage(pick(answer, "usage"), dialect_for(call))
    is_whole = call.finish_reason in _ENDED and reading.usage is not None
    if is_whole and call.response_id and COUNTED.first_time(call.response_id):
        reading.put(call)
    else:
        call.counts_usage = False
    return None


class RunEvents(WholeAnswer):
    """Reads the events of a streamed run of an assistant."""

    tail = TAIL

    def __init__(self) -> None:
        super().__init__()
        self.run: Any = None

    def feed(self, event: object, call: LLMCall) -> bool:
        """Note one event."""
        kind = getattr(event, "event", None) or ""
        if kind.startswith("thread.run.") and not kind.startswith("thread.run.step"):
            self.run = getattr(event, "data", None)
            self.is_complete = kind.rpartition(".")[2] not in ("created", "queued", "in_progress")
            if kind == "thread.run.failed":
                self.error_type = openai_failure(body=pick(self.run, "last_error")).error_type
        elif kind == "thread.message.delta" and not self.started:
            self.start(call)
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the last run event said into the record."""
        if self.run is not None:
            read_run(call, self.run)
