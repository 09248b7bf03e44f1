"""One ledger row, and how it is written down in a journal."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from tachograph.records.projection import Projection

Row = Projection
"""The ledger keeps the projection of a call as it is: one row is one call as the application asked for it, retries
included. Sums over rows equal the metrics' counters."""

_decode: Final = msgspec.msgpack.Decoder(Row).decode
_decode_any: Final = msgspec.msgpack.Decoder().decode
encode: Final = msgspec.msgpack.Encoder().encode
"""The bytes of a row."""
_LABELS_AT: Final = Row.__struct_fields__.index("labels")
_TEXTS_AT: Final = tuple(at for at, one in enumerate(msgspec.structs.fields(Row)) if one.type in (str, str | None))


def encode_as_text(row: Row) -> bytes:
    """The bytes of a row that holds what `encode` does not take: as text.

    Raises:
        ValueError, TypeError, OverflowError: They cannot be written down, not even as text.
    """
    return encode(tuple(_plain(value) for value in msgspec.structs.astuple(row)))


def decode(payload: bytes) -> Row:
    """The row of these bytes.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: They are none.
    """
    try:
        return _decode(payload)
    except msgspec.ValidationError:
        values = _decode_any(payload)
        if not isinstance(values, list):
            raise
        # an application, or a server, gave numbers
        if len(values) > _LABELS_AT and isinstance(labels := values[_LABELS_AT], dict):
            values[_LABELS_AT] = {str(key): str(item) for key, item in labels.items()}
        for at in _TEXTS_AT:
            if at < len(values) and isinstance(values[at], int | float | bytes | list):
                values[at] = str(values[at])
        return msgspec.convert(values, Row, strict=False)


def _plain(value: object) -> object:
    """Text that any store can hold, in place of what a client library put there (lone surrogates, enums)."""
    if value is None or isinstance(value, bool | float | bytes):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    return str(value).encode("utf-8", "replace").decode()


GAMMA: Final = 1.02
"""Neighbouring latency buckets differ by 2 %, so a percentile read from them is at most 1 % off."""
_PER_LOG: Final = 1 / math.log(GAMMA)


def latency_bucket(microseconds: int) -> int:
    """The log bucket of a latency: bucket b holds (GAMMA^(b-1), GAMMA^b] microseconds; 0 holds 0 and 1."""
    return math.ceil(math.log(microseconds) * _PER_LOG - 1e-9) if microseconds > 1 else 0


def bucket_seconds(bucket: int) -> float:
    """The middle of a latency bucket (in ratio), in seconds."""
    return float(GAMMA ** (bucket - 0.5)) / 1e6 if bucket > 0 else 1e-6
