"""The public header of a LAS file, checked before laspy reads it: sizes and counts that the file cannot hold are refused.

Facts: ASPRS LAS specification 1.4 R15, public header block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepnets4eo.errors import DeepNets4EOError, InputError

SIGNATURE = b"LASF"
LEAST_HEADER, HEADER_1_4 = 227, 375  # bytes
VLR_BYTES, EVLR_BYTES = 54, 60  # of their headers
COMPRESSED = 0x80  # bit of the point format that LAZ sets
PANIC = "PanicException"  # of lazrs, a BaseException


def check_header(path: Path) -> None:
    """Raises InputError where a file is no LAS file, or its header names more than the file holds.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        Naming the file, and what was expected.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist as a file. Check the path.")
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(HEADER_1_4)
    if len(header) < LEAST_HEADER or header[:4] != SIGNATURE:
        raise InputError(f"{path} is no LAS or LAZ file: it does not begin with LASF. Check the file.")
    minor = header[25]
    header_bytes, first_point, vlrs, point_format, record_bytes, legacy = struct.unpack_from("<HIIBHI", header, 94)
    count = legacy
    evlr_start, evlrs = 0, 0
    if minor >= 4 and len(header) == HEADER_1_4:
        evlr_start, evlrs, count = struct.unpack_from("<QIQ", header, 235)
    needed = [
        (first_point <= size, f"points that begin at byte {first_point:,}"),
        (header_bytes + vlrs * VLR_BYTES <= max(first_point, header_bytes), f"{vlrs:,} variable length records"),
        (not evlrs or evlr_start + evlrs * EVLR_BYTES <= size, f"{evlrs:,} extended records"),
        (
            bool(point_format & COMPRESSED) or first_point + count * record_bytes <= size,
            f"{count:,} points of {record_bytes} bytes",
        ),
        (not count or size > first_point, f"{count:,} points"),
    ]
    for holds, what in needed:
        if not holds:
            raise InputError(
                f"{path} has {size:,} bytes, but its header names {what}: it is truncated or damaged. Copy or download it again."
            )


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
