"""The quick ways through the writer give what the thorough ones give."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tachograph.usage import frames
from tachograph.usage.row import Row
from tachograph.usage.stores.columns import COLUMNS, values_of

frame = st.tuples(st.sampled_from([frames.RECORD] * 5 + [frames.END, frames.GAP]), st.binary(max_size=30))


@given(
    listed=st.lists(frame, max_size=12),
    first=st.integers(0, 2**63),
    skipped=st.integers(0, 11),
    flip=st.none() | st.integers(0, 400),
    cut=st.integers(0, 40),
    limit=st.integers(0, 12),
)
def test_a_run_of_sound_records_is_what_a_scan_begins_with(
    listed: list[tuple[int, bytes]], first: int, skipped: int, flip: int | None, cut: int, limit: int
) -> None:
    data = bytearray()
    for number, (kind, payload) in enumerate(listed):
        data += frames.frame(first + number + (number > skipped), 5, payload, kind)
    if flip is not None and flip < len(data):
        data[flip] ^= 1
    written = bytes(data[: len(data) - cut])

    payloads, used = frames.records(written, first, limit)

    expected, end = [], 0
    for item in frames.scan(written, final=False, limit=limit)[0]:
        usual = isinstance(item, frames.JournalFrame) and item.kind == frames.RECORD
        if not usual or item.sequence != first + len(expected):
            break
        expected.append(item.payload)
        end = item.end
    assert (payloads, used) == (expected, end)


@given(
    counted=st.booleans(),
    tokens=st.none() | st.integers(0, 9),
    output=st.none() | st.integers(0, 9),
    audio=st.none() | st.floats(0, 9),
    cost=st.none() | st.integers(0, 9),
    kind=st.sampled_from(["llm", "mcp"]),
    outcome=st.sampled_from(["success", "cancelled", "error"]),
)
def test_flags_in_the_store_are_the_row_s_own(
    counted: bool,
    tokens: int | None,
    output: int | None,
    audio: float | None,
    cost: int | None,
    kind: str,
    outcome: str,
) -> None:
    row = Row(b"i" * 16, 1, kind, "p", "m", "chat", outcome, counted=counted, input_tokens=tokens,
              output_tokens=output, audio_seconds=audio, cost_nusd=cost)  # fmt: skip
    values = dict(zip(COLUMNS, values_of(())(row, 1), strict=True))
    assert (values["unpriced"], values["usage_missing"]) == (row.is_unpriced, row.is_usage_missing)


@given(st.dictionaries(st.text("a\0\\u0", max_size=8), st.text("a\0\\u0\u2028", max_size=8), max_size=3))
def test_no_nul_reaches_a_store_and_no_other_text_is_changed(labels: dict[str, str]) -> None:
    import json

    row = Row(b"i" * 16, 1, "llm", "p\0", "m\0", "chat", "success", response_id="r\0", labels=labels)
    values = dict(zip(COLUMNS, values_of(("a",))(row, 1), strict=True))
    assert (values["provider"], values["model"], values["response_id"]) == ("p\ufffd", "m\ufffd", "r\ufffd")
    expected = {key.replace("\0", "\ufffd"): value.replace("\0", "\ufffd") for key, value in labels.items()}
    assert json.loads(values["labels"] or "{}") == expected
    assert json.loads(values["rollup_labels"]) == {key: value for key, value in expected.items() if key == "a"}
