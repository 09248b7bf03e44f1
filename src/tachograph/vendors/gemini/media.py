"""How Imagen's images and Veo's videos are read: no usage is reported, they are billed by number.

A video is a job that is asked for many times. It is billed once, when it is done, by the seconds of the videos that it
holds; what was filtered or has failed costs nothing. Its answer does not say how long they are: the request does.
Source: google-genai 3.6 types; ai.google.dev/gemini-api/docs/video and .../pricing; 2026-11-27.
"""

from __future__ import annotations

from typing import Final

from tachograph.records import LLMCall, Usage
from tachograph.records.media import image_of, item, seconds_of, video_of
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.fields import items, pick, text
from tachograph.vendors.gemini.usage import read_usage
from tachograph.vendors.once import COUNTED, JOBS

_UNKNOWN_LENGTH: Final = item("video", "unknown_length")


def read_images(call: LLMCall, response: object) -> ErrorType | None:
    """Images: by their tokens where these are reported, else each that was not filtered."""
    read_usage(pick(response, "usage_metadata")).put(call)
    bill_images(call, sum(pick(each, "rai_filtered_reason") is None for each in items(response, "generated_images")))
    return None


def bill_images(call: LLMCall, drawn: int) -> None:
    """Images by their number, where no tokens are reported."""
    if call.usage is None and drawn:
        call.usage = Usage(tool_uses={image_of(call.model, call.body): drawn})


def read_video(call: LLMCall, job: object) -> ErrorType | None:
    """A job: what it made is billed the first time that it is read whole."""
    made = pick(job, "response") or pick(job, "result")
    made = pick(made, "generateVideoResponse") or made  # on the wire
    videos = [videos for name in ("generated_videos", "generatedSamples", "videos") for videos in items(made, name)]
    call.response_id = name = text(job, "name")
    if call.operation == "video_generation":
        seconds = seconds_of(call.model, call.body)
        if name is not None and seconds is not None:
            JOBS.note(name, video_of(call.model, call.body), seconds)
    elif name is not None and "models/" in name:
        call.model = name.rpartition("models/")[2].partition("/")[0]
    is_failed = pick(job, "error") is not None
    call.finish_reason = "failed" if is_failed else "completed" if pick(job, "done") else "in_progress"
    if call.finish_reason == "completed" and videos and name is not None and COUNTED.first_time(name):
        kind, seconds = JOBS.asked(name) or (_UNKNOWN_LENGTH, 1)
        call.usage = Usage(tool_uses={kind: seconds * len(videos)})
    else:
        call.counts_usage = False
    return None
