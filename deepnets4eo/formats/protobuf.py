"""Messages of protocol buffers, field by field: enough for the formats that are read here without their own libraries."""

from __future__ import annotations

from collections.abc import Iterator

NUMBER, TEXT, FIXED = 0, 2, {1: 8, 5: 4}  # wire types; bytes of numbers of a fixed size
MAX_SHIFT = 63


def protobuf_fields(message: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and value of each field of a message: a whole number, or its bytes without a copy.

    Raises ValueError for a message that is cut or no such message, IndexError for a number that is cut.
    """
    message = memoryview(message)
    at, size = 0, len(message)
    while at < size:
        key, at = varint(message, at)
        kind = key & 7
        if kind == NUMBER:
            value, at = varint(message, at)
            yield key >> 3, value
            continue
        if kind == TEXT:
            length, at = varint(message, at)
        elif kind in FIXED:
            length = FIXED[kind]
        else:
            raise ValueError(f"wire type {kind}")
        if not key >> 3 or at + length > size:
            raise ValueError("a field is longer than its message, or has no number")
        yield key >> 3, message[at : at + length]
        at += length


def varint(message: bytes | memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a byte, and where the next field begins. Raises IndexError, ValueError."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > MAX_SHIFT:
            raise ValueError("a number of more than 64 bits")
