"""The table of the compressed chunks of a LAZ file, checked before it is used.

The decompressor reserves memory by the sizes that a file names, and ends the whole process where there is not enough. Facts:
Isenburg, LASzip: lossless compression of LiDAR data, 2013; the layout of the record "laszip encoded" and of its table.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import lazrs

from deepnets4eo.errors import InputError
from deepnets4eo.points.files.las_header import LasHeaderFacts, las_errors

RECORD_ID = 22204
VLR_BYTES = 54
ITEMS_AT = 32  # bytes of the record before its list of items
ITEM_BYTES = 6
CHUNK_POINTS_AT = 12
VARIABLE = 0xFFFFFFFF
FOR_LATER = -1  # the offset of the table stands in the last eight bytes of the file
LAYERS = {10: 9, 11: 1, 12: 2, 13: 1}  # item type of point formats 6 to 10 → layers; extra bytes have one a byte
EXTRA_BYTES = 14
COUNT_BYTES = 4


def check_chunks(path: Path, facts: LasHeaderFacts) -> None:
    """Raise InputError where a LAZ file is truncated, or its table of chunks does not fit the file."""
    with las_errors(path), path.open("rb") as file:
        record = _record(file, facts)
        items = _items(record)
        chunk_points = struct.unpack_from("<I", record, CHUNK_POINTS_AT)[0]
        wrong = None
        if sum(size for _, size in items) != facts.record_bytes:
            wrong = "its compressed points have another size than its header names"
        elif chunk_points == 0 or (chunk_points != VARIABLE and chunk_points > max(facts.points, 1 << 24)):
            wrong = f"it names {chunk_points:,} points a chunk"
        else:
            wrong = _wrong_table(file, facts, record, items, chunk_points)
    if wrong:
        raise InputError(f"{path}: {wrong}: it is truncated or damaged. Copy or download it again.")


def _wrong_table(
    file: BinaryIO, facts: LasHeaderFacts, record: bytes, items: list[tuple[int, int]], chunk_points: int
) -> str | None:
    """Returns what is wrong with the table, or with the chunks that it names; None where nothing is."""
    file.seek(facts.first_point)
    start = struct.unpack("<q", file.read(8))[0]
    if start == FOR_LATER:
        file.seek(facts.size - 8)
        start = struct.unpack("<q", file.read(8))[0]
    if not facts.first_point + 8 <= start <= facts.size - 8:
        return f"its table of chunks would begin at byte {start:,} of {facts.size:,}"
    file.seek(start)
    count = struct.unpack("<II", file.read(8))[1]
    most = facts.points if chunk_points == VARIABLE else -(-facts.points // chunk_points) + 1
    if count > most:
        return f"it names {count:,} chunks, expected at most {most:,}"
    file.seek(facts.first_point)
    table = lazrs.read_chunk_table(file, lazrs.LazVlr(record))
    if sum(points for points, _ in table) < facts.points or sum(size for _, size in table) > facts.size:
        return "its chunks do not hold its points"
    at = facts.first_point + 8
    for _, size in table:
        if not _fits(file, at, size, items):
            return f"its chunk at byte {at:,} names more than it holds"
        at += size
    return None


def _fits(file: BinaryIO, at: int, size: int, items: list[tuple[int, int]]) -> bool:
    """Returns whether the layers of a chunk, as point formats 6 to 10 have them, fit in it."""
    if not all(kind in LAYERS or kind == EXTRA_BYTES for kind, _ in items):
        return True
    layers = sum(bytes_ if kind == EXTRA_BYTES else LAYERS[kind] for kind, bytes_ in items)
    file.seek(at + sum(bytes_ for _, bytes_ in items) + COUNT_BYTES)
    sizes = file.read(4 * layers)
    return len(sizes) == 4 * layers and sum(struct.unpack(f"<{layers}I", sizes)) <= size


def _record(file: BinaryIO, facts: LasHeaderFacts) -> bytes:
    """Returns the data of the record that says how points are compressed."""
    file.seek(facts.header_bytes)
    for _ in range(facts.records):
        header = file.read(VLR_BYTES)
        number, size = struct.unpack_from("<HH", header, 18)
        data = file.read(size)
        if number == RECORD_ID and header[2:18].startswith(b"laszip encoded"):
            return data
    raise ValueError("it has no record of its compression")


def _items(record: bytes) -> list[tuple[int, int]]:
    """Returns type and size in bytes of the parts of a point."""
    count = struct.unpack_from("<H", record, ITEMS_AT)[0]
    every = (struct.unpack_from("<HHH", record, ITEMS_AT + 2 + index * ITEM_BYTES) for index in range(count))
    return [(kind, size) for kind, size, _ in every]
