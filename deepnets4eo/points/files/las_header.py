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
LEAST_HEADER, HEADER_1_4 = 227, 375  # bytes
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
    """Returns what the header of a LAS file names, where the file holds it.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    LasHeaderFacts
        Sizes and counts.

    Raises
    ------
    InputError
        The file is no LAS file, or its header names more than the file holds.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist as a file. Check the path.")
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(HEADER_1_4)
    if len(header) < LEAST_HEADER or header[:4] != SIGNATURE:
        raise InputError(f"{path} is no LAS or LAZ file: it does not begin with LASF. Check the file.")
    header_bytes, first_point, records, point_format, record_bytes, points = struct.unpack_from("<HIIBHI", header, 94)
    evlr_start, evlrs = 0, 0
    if header[25] >= 4 and len(header) == HEADER_1_4:  # LAS 1.4
        evlr_start, evlrs, points = struct.unpack_from("<QIQ", header, 235)
    is_compressed = bool(point_format & COMPRESSED)
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


@contextmanager
def las_errors(path: Path) -> Iterator[None]:
    """A context that raises InputError, naming the file, for all that laspy and lazrs raise for damaged files.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        yield
    except (DeepNets4EOError, GeneratorExit, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} cannot be read ({reason[:200]}): it is truncated or damaged. Copy or download it again."
        ) from error
