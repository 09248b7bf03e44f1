"""The hash by which Prometheus picks series for limit_ratio (xxHash64 of its own label encoding)."""

from __future__ import annotations

from functools import lru_cache
from struct import unpack_from

from tachograph.console.promql.labels import Labels

# https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md (checked 2026-11-23).
_P1, _P2, _P3, _P4, _P5 = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)
_MASK = (1 << 64) - 1


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK


def _round(accumulator: int, lane: int) -> int:
    return _rotate((accumulator + lane * _P2) & _MASK, 31) * _P1 & _MASK


def xxh64(data: bytes) -> int:
    """Hash bytes with xxHash64, seed 0."""
    size, at = len(data), 0
    if size >= 32:
        lanes = [(_P1 + _P2) & _MASK, _P2, 0, (-_P1) & _MASK]
        while at + 32 <= size:
            lanes = [_round(lane, word) for lane, word in zip(lanes, unpack_from("<4Q", data, at), strict=True)]
            at += 32
        total = sum(_rotate(v, r) for v, r in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
        for lane in lanes:
            total = ((total ^ _round(0, lane)) * _P1 + _P4) & _MASK
    else:
        total = _P5
    total = (total + size) & _MASK
    while at + 8 <= size:
        total ^= _round(0, unpack_from("<Q", data, at)[0])
        total = (_rotate(total, 27) * _P1 + _P4) & _MASK
        at += 8
    if at + 4 <= size:
        total ^= unpack_from("<I", data, at)[0] * _P1 & _MASK
        total = (_rotate(total, 23) * _P2 + _P3) & _MASK
        at += 4
    for byte in data[at:]:
        total ^= byte * _P5 & _MASK
        total = _rotate(total, 11) * _P1 & _MASK
    total = (total ^ (total >> 33)) * _P2 & _MASK
    total = (total ^ (total >> 29)) * _P3 & _MASK
    return total ^ (total >> 32)


def _sized(text: str) -> bytes:
    raw = text.encode()
    if len(raw) < 255:
        return bytes([len(raw)]) + raw
    return b"\xff" + len(raw).to_bytes(3, "little") + raw


@lru_cache(maxsize=65536)
def ratio_offset(labels: Labels) -> float:
    """Return where in [0, 1) the labels fall.

    Source: the default (stringlabels) build of
    https://github.com/prometheus/prometheus/blob/main/model/labels/labels_stringlabels.go (2026-11-23).
    """
    encoded = b"".join(_sized(k) + _sized(v) for k, v in labels)
    return xxh64(encoded) / float((1 << 64) - 1)
