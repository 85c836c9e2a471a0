"""The public header of a LAS file, checked before laspy reads it: sizes and counts that the file cannot hold are refused.

Facts: ASPRS LAS specification 1.4 R15, public header block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deepnets4eo.errors import DeepNets4EOError, InputError

SIGNATURE = b"LASF"
HEADER_BYTES = {0: 227, 1: 227, 2: 227, 3: 235, 4: 375, 5: 393}  # minor version → least size
LEAST_HEADER, HEADER_1_4 = HEADER_BYTES[0], HEADER_BYTES[4]
FIRST_OF_1_4 = 6  # point formats from here on came with LAS 1.4
VLR_BYTES, EVLR_BYTES = 54, 60  # of their headers
COMPRESSED = 0x80  # bit of the point format that LAZ sets
PANIC = "PanicException"  # of lazrs, a BaseException


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
