"""Frames of a journal: what is read of whole, damaged, cut and foreign bytes; and the names and sizes of its files."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import pytest

from tachograph.usage import frames
from tachograph.usage.frames import BODY, HEAD, MAGIC, OVERHEAD, RECORD, Damage, JournalFrame, frame, scan
from tachograph.usage.journal import LONGEST_SEGMENT, Journal, directory_bytes, parse_segment_name, segment_name

A, B, C = (frame(number, 1000 + number, bytes(20 * [64 + number])) for number in (1, 2, 3))
END = frame(4, 0, b"", frames.END)


def of_version(version: int, payload: bytes, kind: int = RECORD) -> bytes:
    """A frame of another version, sound as that one writes it."""
    body = BODY.pack(7, 8) + payload
    return HEAD.pack(MAGIC, version, kind, len(body), crc32(body, version ^ kind << 8)) + body


def test_a_frame_is_its_head_its_numbers_and_its_payload() -> None:
    assert OVERHEAD == 28
    assert (
        b"TG\x01\x00"
        + (36).to_bytes(4, "little")
        + crc32(A[12:], 1).to_bytes(4, "little")
        + ((1).to_bytes(8, "little") + (1001).to_bytes(8, "little") + b"A" * 20)
        == A
    )
    assert scan(A + END, final=True) == (
        [JournalFrame(RECORD, 1, 1001, b"A" * 20, 48), JournalFrame(frames.END, 4, 0, b"", 76)], 76
    )  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [
        b"x",
        b"TG",
        A[:-1],
        A[:20] + b"\xff" + A[21:],
        b"TG\x01\x00" + (15).to_bytes(4, "little") + bytes(40),  # a body shorter than its numbers
        b"TG\x01\x00" + (2**31).to_bytes(4, "little") + bytes(40),
        b"TG\x02\x00" + (16).to_bytes(4, "little") + bytes(40),  # of another version, and not sound
        of_version(2, b"x" * (frames.LARGEST_PAYLOAD + 1)),
        bytes(500),
    ],
)
def test_what_is_no_frame_costs_itself_alone(bad: bytes) -> None:
    found, used = scan(A + bad + B + C, final=True)
    assert used == len(A + bad + B + C)
    assert [item for item in found if isinstance(item, JournalFrame)] == [
        JournalFrame(RECORD, 1, 1001, b"A" * 20, 48),
        JournalFrame(RECORD, 2, 1002, b"B" * 20, 96 + len(bad)),
        JournalFrame(RECORD, 3, 1003, b"C" * 20, 144 + len(bad)),
    ]
    assert [item for item in found if isinstance(item, Damage)] == [Damage(bad, 48 + len(bad))]
    assert frames.records(A + bad + B, 1, 9) == ([b"A" * 20], 48)
    for cut, final in ((bad, False), (bad, True)):
        found, used = scan(A + cut, final=final)
        assert (len(found), used) == ((2, 48 + len(cut)) if final else (1, 48))


def test_a_frame_of_a_later_version_is_said_to_be_one_and_passed_over() -> None:
    for other in (of_version(2, b""), of_version(9, b"later", 5), of_version(2, b"x" * frames.LARGEST_PAYLOAD)):
        version = other[2]
        found, used = scan(A + other + b"junk" + other + B, final=False)
        assert used == len(A + other + b"junk" + other + B)
        at = [48, 48 + len(other), 52 + len(other), 52 + 2 * len(other), 100 + 2 * len(other)]
        assert found[1:4] == [Damage(other, at[1], version), Damage(b"junk", at[2]), Damage(other, at[3], version)]
        assert found[4] == JournalFrame(RECORD, 2, 1002, b"B" * 20, at[4])
        assert frames.records(other, 7, 1) == ([], 0)


def test_records_are_read_in_one_run_of_their_numbers() -> None:
    data = A + B + C + END
    payloads = [b"A" * 20, b"B" * 20, b"C" * 20]
    assert frames.records(data, 1, 9) == (payloads, 144)
    assert frames.records(data, 1, 2) == (payloads[:2], 96)
    assert frames.records(data, 2, 9) == ([], 0)
    assert frames.records(A + C, 1, 9) == (payloads[:1], 48)
    assert frames.records(data[:143], 1, 9) == (payloads[:2], 96)
    assert frames.records(frame(5, 6, b""), 5, 9) == ([b""], 28)
    assert scan(data, final=True, limit=2)[1] == 96


def test_random_damage_costs_the_frames_that_it_hits() -> None:
    draw = random.Random(3)
    for _ in range(60):
        made = [frame(number, number, draw.randbytes(draw.randrange(60))) for number in range(12)]
        begins = [sum(map(len, made[:number])) for number in range(13)]
        data = bytearray(b"".join(made))
        hit = set()
        for _ in range(draw.randrange(4)):
            at, size = draw.randrange(len(data)), draw.randrange(1, 40)
            size = min(size, len(data) - at)
            data[at : at + size] = bytes(byte ^ 0x55 for byte in data[at : at + size])
            hit |= {n for n in range(12) if begins[n] < at + size and at < begins[n + 1]}
        whole = [n for n in range(12) if bytes(data[begins[n] : begins[n + 1]]) == made[n]]
        assert set(range(12)) - hit <= set(whole)
        found, used = scan(bytes(data), final=True)
        assert used == len(data)
        assert [item.sequence for item in found if isinstance(item, JournalFrame)] == whole
        assert sum(len(item.data) for item in found if isinstance(item, Damage)) == sum(
            len(made[n]) for n in range(12) if n not in whole
        )


NAME = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (f"{NAME}-00000007.journal", (NAME, 7)),
        (f"{NAME}-1234567890.journal", (NAME, 1234567890)),
        (f"{NAME}-12345678901.journal", None),
        (f"{NAME}-7.journal", None),
        (f"{NAME}-000000007.journal", None),
        (f"{NAME}-0000000x.journal", None),
        (f"{NAME}-0000000\u0667.journal", None),
        (f"{NAME[:-1]}-00000007.journal", None),
        (f"{NAME.upper()}-00000007.journal", None),
        (f"{NAME}-00000007", None),
        (f"{NAME}00000007.journal", None),
    ],
)
def test_a_file_is_a_segment_only_by_the_name_that_segments_get(name: str, found: tuple[str, int] | None) -> None:
    assert parse_segment_name(name) == found
    if found is not None:
        assert segment_name(*found) == name


def test_the_journals_of_a_host_are_as_long_as_their_files(tmp_path: Path) -> None:
    assert directory_bytes(tmp_path / "none") == 0
    for name, size in (("a", 10), ("b", 300), ("c", LONGEST_SEGMENT), ("d", LONGEST_SEGMENT + 1)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)  # sparse
    (tmp_path / "e").symlink_to("d")
    assert directory_bytes(tmp_path) == 310 + LONGEST_SEGMENT + (tmp_path / "e").lstat().st_size


@pytest.mark.parametrize(
    ("segment", "limit", "used"),
    [
        (1 << 20, 1 << 30, 1 << 20),
        (1 << 20, 1 << 20, 1 << 17),
        (1, 1 << 20, 4096),
        (1 << 20, 80_007, 10_000),
        (4097, 1 << 20, 4097),
        (4095, 1 << 20, 4096),
    ],
)
def test_a_segment_is_an_eighth_of_the_limit_at_most(tmp_path: Path, segment: int, limit: int, used: int) -> None:
    journal = Journal(tmp_path, segment_bytes=segment, limit_bytes=limit)
    assert journal.segment_bytes == used
    assert journal.refused == {"queue_full": 0, "disk_full": 0, "invalid": 0, "closed": 0, "io_error": 0}


def test_a_long_run_offers_the_interpreter_every_256_records(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps: list[float] = []
    monkeypatch.setattr(frames, "time", SimpleNamespace(sleep=sleeps.append))
    data = b"".join(frame(number, 0, b"") for number in range(250, 800))
    for first, last, turns in ((250, 256, 0), (250, 257, 1), (250, 512, 1), (250, 513, 2), (250, 800, 3)):
        sleeps.clear()
        assert frames.records(data, first, last - first) == ([b""] * (last - first), 28 * (last - first))
        assert sleeps == [0] * turns


@pytest.mark.parametrize(
    ("data", "noted"),
    [
        (b"", (128, 0)),
        (bytes(24), (128, 0)),
        ((200).to_bytes(8, "little") + (7).to_bytes(8, "little") + (200 ^ 7).to_bytes(4, "little"), (200, 7)),
        ((200).to_bytes(8, "little") + (7).to_bytes(8, "little") + (200 ^ 7).to_bytes(4, "little")[:-1], (128, 0)),
        ((200).to_bytes(8, "little") + (7).to_bytes(8, "little") + (200 ^ 6).to_bytes(4, "little"), (128, 0)),
        ((0).to_bytes(8, "little") + (7).to_bytes(8, "little") + (7).to_bytes(4, "little"), (128, 0)),
    ],
)
def test_a_note_counts_where_its_sum_is_right(data: bytes, noted: tuple[int, int]) -> None:
    assert frames.unpack_committed(data) == frames.unpack_committed(data + b"more"[: 24 - len(data)]) == noted
    if noted != (128, 0):
        assert frames.pack_committed(*noted) == data
    big = frames.pack_committed(1 << 40 | 5, 1 << 33 | 9)
    assert frames.unpack_committed(big) == (1 << 40 | 5, 1 << 33 | 9)
    assert big[16:] == (5 ^ 9).to_bytes(4, "little")


def test_an_empty_frame_of_a_later_version_is_known_at_the_very_end() -> None:
    other = of_version(2, b"")
    assert len(other) == OVERHEAD
    assert scan(A + other, final=False) == (
        [JournalFrame(RECORD, 1, 1001, b"A" * 20, 48), Damage(other, 76, 2)], 76
    )  # fmt: skip
    assert scan(A + other[:-1], final=False) == ([JournalFrame(RECORD, 1, 1001, b"A" * 20, 48)], 48)
    assert scan(b"TG" + A, final=False) == ([Damage(b"TG", 2), JournalFrame(RECORD, 1, 1001, b"A" * 20, 50)], 50)
    assert scan(b"TTGTG" + A, final=False)[0][0] == Damage(b"TTGTG", 5)
