"""Ids of the elements of an OpenStreetMap file in its binary format (PBF), and which nodes and ways they refer to; nothing else is decoded.

See the wiki of OpenStreetMap on the PBF format. Only blocks packed by zlib or not at all are read, as all writers make them.
pyosmium 4.3 was tried in its place (2026-11-30): one Python object per element takes 3.3 times the processor time for 600,000 nodes and
80,000 ways, and it does not bound what a file unpacks to.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.formats import protobuf_fields

Ids = NDArray[np.int64]

MAX_HEADER_BYTES, MAX_BLOB_BYTES = 64 << 10, 32 << 20  # limits of the format
# Bytes that a whole file may unpack to: writers reach some 4 times its size, zlib 1,000 times, and arrays of ids are larger still.
MIN_UNPACKED_BYTES, MAX_RATIO = 4 << 20, 40
WAY_MEMBER = 1


def read_blocks(path: Path) -> Iterator[bytes]:
    """Yield the unpacked blocks of data. Raises ValueError for what is not in the format, or unpacks to far more than its size."""
    left = MIN_UNPACKED_BYTES + MAX_RATIO * path.stat().st_size
    with path.open("rb") as file:
        while size := file.read(4):
            header = dict(_fields(file.read(min(int.from_bytes(size, "big"), MAX_HEADER_BYTES))))
            stated = header[3]
            if not isinstance(stated, int) or stated > MAX_BLOB_BYTES:
                raise ValueError(f"a block states {stated!r} bytes, expected at most {MAX_BLOB_BYTES:,}")
            blob = file.read(stated)
            if len(blob) < stated:
                raise ValueError(f"a block has {len(blob):,} of {stated:,} bytes")
            if header[1] == b"OSMData":
                block = _unpacked(dict(_fields(blob)))
                left -= len(block)
                if left < 0:
                    raise ValueError(f"it unpacks to more than {MAX_RATIO} times its size, as no map does")
                yield block


def _unpacked(blob: dict[int, bytes | int]) -> bytes:
    plain, packed = blob.get(1), blob.get(3)
    if isinstance(plain, bytes):
        return plain
    if not isinstance(packed, bytes):
        raise ValueError("it is packed in an unusual way; osmium cat -o OUT.osm.pbf IN writes it in the usual one")
    unpacker = zlib.decompressobj()
    block = unpacker.decompress(packed, MAX_BLOB_BYTES)
    if unpacker.unconsumed_tail:
        raise ValueError(f"a block unpacks to more than {MAX_BLOB_BYTES:,} bytes")
    return block


class Block:
    """The elements of one block.

    nodes, ways : their ids
    refs, way_of_ref : ids of the nodes of ways, and the number of the way of each
    members : (relation, way) of each way that a relation refers to
    """

    def __init__(self, content: bytes) -> None:
        nodes, ways, texts, members = list[Ids](), list[int](), list[bytes](), list[tuple[int, int]]()
        for group in _texts(content, 2):
            for field, value in _fields(group):
                if not isinstance(value, bytes):
                    continue
                if field == 1:
                    nodes.append(_unzigzag(np.array([_number(dict(_fields(value))[1])], np.uint64)))
                elif field == 2:
                    nodes += [np.cumsum(_unzigzag(_varints(ids))) for ids in _texts(value, 1)]
                elif field == 3:
                    way = dict(_fields(value))
                    ways.append(_signed(way[1]))
                    texts.append(_bytes(way.get(8, b"")))
                elif field == 4:
                    members += _way_members(dict(_fields(value)))
        counts = [sum(byte < 128 for byte in text) for text in texts]
        steps = _unzigzag(_varints(b"".join(texts)))
        total = np.cumsum(steps)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(int) if counts else np.zeros(0, int)
        before = np.concatenate([[0], total])[starts]
        self.nodes = np.concatenate(nodes) if nodes else np.zeros(0, np.int64)
        self.ways = np.array(ways, np.int64)
        self.refs = total - np.repeat(before, counts)
        self.way_of_ref = np.repeat(np.arange(len(ways)), counts)
        self.members = members


def _way_members(relation: dict[int, bytes | int]) -> list[tuple[int, int]]:
    number, kinds = _signed(relation[1]), _varints(_bytes(relation.get(10, b"")))
    ids = np.cumsum(_unzigzag(_varints(_bytes(relation.get(9, b"")))))
    return [(number, int(way)) for way in ids[kinds == WAY_MEMBER]]


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield the number and value of each field of a message."""
    for number, value in protobuf_fields(message):
        yield number, value if isinstance(value, int) else bytes(value)


def _texts(message: bytes, number: int) -> list[bytes]:
    return [value for field, value in _fields(message) if field == number and isinstance(value, bytes)]


def _varints(packed: bytes) -> NDArray[np.uint64]:
    """Return the numbers of a packed field."""
    data = np.frombuffer(packed, np.uint8)
    ends = np.flatnonzero(data < 0x80)
    if not len(ends):
        return np.zeros(0, np.uint64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    data = data[: ends[-1] + 1]
    step = np.arange(len(data)) - np.repeat(starts, ends - starts + 1)
    parts = (data & 0x7F).astype(np.uint64) << (7 * step).astype(np.uint64)
    return np.add.reduceat(parts, starts)


def _unzigzag(values: NDArray[np.uint64]) -> Ids:
    return (values >> np.uint64(1)).astype(np.int64) ^ -(values & np.uint64(1)).astype(np.int64)


def _number(value: bytes | int) -> int:
    if isinstance(value, bytes):
        raise TypeError("a text instead of a number")
    return value


def _signed(value: bytes | int) -> int:
    number = _number(value)
    return number - (1 << 64) if number >> 63 else number


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise TypeError("a number instead of a text")
    return value
