"""Bytes cut into lines and frames: the same however they come, and in linear time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.instrument.splitting import Frames, Lines

MB = 1024 * 1024


def frame(payload: bytes) -> bytes:
    size = 12 + len(payload) + 4
    return size.to_bytes(4, "big") + bytes(8) + payload + bytes(4)


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The data in pieces of these sizes, again and again."""
    at = number = 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        yield data[at : at + size]
        at, number = at + size, number + 1


def cut(splitter: Lines | Frames, parts: Iterator[bytes]) -> list[bytes]:
    return [found for part in parts for found in splitter.feed(part)]


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@given(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=8), SIZES)
def test_any_pieces_give_the_same_lines(lines: list[bytes], sizes: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines) + b"no end"
    assert cut(Lines(), pieces(data, sizes)) == lines


@given(st.lists(st.binary(max_size=60), max_size=8), SIZES)
def test_any_pieces_give_the_same_frames(payloads: list[bytes], sizes: list[int]) -> None:
    frames = [frame(payload) for payload in payloads]
    assert cut(Frames(), pieces(b"".join(frames) + b"\0\0\0", sizes)) == frames


def test_what_is_no_frame_is_left_out() -> None:
    splitter = Frames()
    assert splitter.feed(frame(b"one") + b"<html>no frame at all</html>") == [frame(b"one")]
    assert splitter.feed(frame(b"two")) == [frame(b"two")]


@pytest.mark.timeout(20)  # joined with each piece, it takes minutes on any machine
@pytest.mark.parametrize(("splitter", "data"), [(Lines(), b"x" * (20 * MB) + b"\n"), (Frames(), frame(bytes(15 * MB)))])
def test_one_of_many_megabytes_takes_linear_time(splitter: Lines | Frames, data: bytes) -> None:
    (found,) = cut(splitter, pieces(data, [1024]))
    assert len(found) == len(data) - isinstance(splitter, Lines)
