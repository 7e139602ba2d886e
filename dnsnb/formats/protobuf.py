"""As much of protobuf's wire format as DNS loggers use: the fields of a message by number.

Pure; knows nothing of ours.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any


def fields(data: bytes) -> Iterator[tuple[int | None, Any]]:
    """Yield (number, value) of a message: octets, or an integer; (None, None) when it is broken."""
    at, size = 0, len(data)
    try:
        while at < size:
            key = data[at]
            at += 1
            if key > 127:
                key, at = _varint(data, at - 1)
            wire_type = key & 7
            value: Any
            if wire_type == 2:
                length = data[at]
                at += 1
                if length > 127:
                    length, at = _varint(data, at - 1)
                if at + length > size:
                    yield None, None
                    return
                value = data[at : at + length]
                at += length
            elif wire_type == 0:
                value = data[at]
                at += 1
                if value > 127:
                    value, at = _varint(data, at - 1)
            elif wire_type == 5:
                value = _FIXED.unpack_from(data, at)[0]
                at += 4
            elif wire_type == 1:
                value = None
                at += 8
            else:
                yield None, None
                return
            yield key >> 3, value
    except (IndexError, struct.error):
        yield None, None


_FIXED = struct.Struct("<I")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        octet = data[at]
        at += 1
        value |= (octet & 127) << shift
        if octet < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError
