"""The public header of a LAS file and the table of chunks of a LAZ file, checked before laspy and lazrs use them.

Sizes and counts that the file cannot hold are refused: the decompressor reserves memory by the sizes that a file names, and
ends the whole process where there is not enough. Facts: ASPRS LAS specification 1.4 R15, public header block; Isenburg,
LASzip: lossless compression of LiDAR data, 2013, the layout of the record "laszip encoded" and of its table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import lazrs

from deepnets4eo.errors import DeepNets4EOError, InputError

SIGNATURE = b"LASF"
HEADER_BYTES = {0: 227, 1: 227, 2: 227, 3: 235, 4: 375, 5: 393}  # minor version → least size
LEAST_HEADER, HEADER_1_4 = HEADER_BYTES[0], HEADER_BYTES[4]
FIRST_OF_1_4 = 6  # point formats from here on came with LAS 1.4
VLR_BYTES, EVLR_BYTES = 54, 60  # of their headers
COMPRESSED = 0x80  # bit of the point format that LAZ sets
PANIC = "PanicException"  # of lazrs, a BaseException

RECORD_ID = 22204  # of "laszip encoded"
ITEMS_AT = 32  # bytes of the record before its list of items
ITEM_BYTES = 6
CHUNK_POINTS_AT = 12
VARIABLE = 0xFFFFFFFF
FOR_LATER = -1  # the offset of the table stands in the last eight bytes of the file
LAYERS = {10: 9, 11: 1, 12: 2, 13: 1}  # item type of point formats 6 to 10 → layers; extra bytes have one a byte
EXTRA_BYTES = 14
COUNT_BYTES = 4


class LasHeaderFacts(NamedTuple):
    """Sizes and counts of a public header; `size` is that of the file, all in bytes but the counts."""

    size: int
    header_bytes: int
    first_point: int
    records: int
    record_bytes: int
    points: int
    is_compressed: bool


def check_header(path: Path) -> LasHeaderFacts:
    """Return what the header of a LAS file names. Raises InputError where the file is no LAS file, or its header names
    more than the file holds."""
    if not path.is_file():
        raise InputError(f"{path} does not exist as a file. Check the path.")
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(HEADER_1_4)
    if len(header) < LEAST_HEADER or header[:4] != SIGNATURE:
        raise InputError(f"{path} is no LAS or LAZ file: it does not begin with LASF. Check the file.")
    header_bytes, first_point, records, point_format, record_bytes, points = struct.unpack_from("<HIIBHI", header, 94)
    is_compressed = bool(point_format & COMPRESSED)
    _check_version(path, header[24], header[25], header_bytes, point_format & ~COMPRESSED)
    evlr_start, evlrs = 0, 0
    if header[25] >= 4 and len(header) == HEADER_1_4:  # LAS 1.4
        evlr_start, evlrs, points_1_4 = struct.unpack_from("<QIQ", header, 235)
        points = points_1_4 or points  # some programs write the legacy count alone
    needed = [
        (first_point <= size, f"points that begin at byte {first_point:,}"),
        (header_bytes + records * VLR_BYTES <= max(first_point, header_bytes), f"{records:,} variable length records"),
        (not evlrs or evlr_start + evlrs * EVLR_BYTES <= size, f"{evlrs:,} extended records"),
        (
            is_compressed or first_point + points * record_bytes <= size,
            f"{points:,} points of {record_bytes} bytes",
        ),
        (not points or size > first_point, f"{points:,} points"),
    ]
    for holds, what in needed:
        if not holds:
            raise InputError(
                f"{path} has {size:,} bytes, but its header names {what}: it is truncated or damaged. Copy or download it again."
            )
    return LasHeaderFacts(size, header_bytes, first_point, records, record_bytes, points, is_compressed)


def _check_version(path: Path, major: int, minor: int, header_bytes: int, point_format: int) -> None:
    """Raises InputError for a version that there is not, or whose header and points are of another version."""
    wrong = None
    if major != 1 or minor not in HEADER_BYTES:
        wrong = "expected 1.0 to 1.5"
    elif header_bytes < HEADER_BYTES[minor]:
        wrong = f"whose header has at least {HEADER_BYTES[minor]} bytes, and a header of {header_bytes}"
    elif point_format >= FIRST_OF_1_4 and minor < 4:
        wrong = f"and point format {point_format}, which came with LAS 1.4"
    if wrong:
        raise InputError(
            f"the header of {path} names the LAS version {major}.{minor}, {wrong}: it is damaged. Copy or download it again."
        )


@contextmanager
def las_errors(path: Path) -> Iterator[None]:
    """Raise InputError, naming the file, for all that laspy and lazrs raise for damaged files."""
    try:
        yield
    except (DeepNets4EOError, GeneratorExit, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        if isinstance(error, UnicodeDecodeError):
            raise InputError(
                f"{path} has names in its header that are no UTF-8 ({error.object[:32]!r}). Write them with plain letters: "
                "pdal translate"
            ) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} cannot be read ({reason[:200]}): it is truncated or damaged. Copy or download it again."
        ) from error


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
