"""Packed files unpacked into a temporary folder, never to more than a limit: a few hundred bytes can hold gigabytes.

.bz2, .gz and .zip are known by their first bytes. Refuses archives with no file, or several, to choose from."""

from __future__ import annotations

import bz2
import gzip
import io
import math
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from deepnets4eo.errors import InputError
from deepnets4eo.files import ARCHIVE_ERRORS
from deepnets4eo.formats.drivers import read_head


class UnpackLimits:
    """Limits on the size of unpacked files, against files made to fill the memory or the disk."""

    max_bytes: ClassVar[int] = 2 << 30
    max_times_larger: ClassVar[int] = 200  # maps in XML or JSON pack to a twentieth
    plausible_bytes: ClassVar[int] = 64 << 20  # never too large, however small the packed file is


MAX_FILES = 10_000  # in an archive
CHUNK_BYTES = 1 << 20
READABLE = (".shp", ".gpkg", ".geojson", ".json", ".fgb", ".parquet", ".geoparquet", ".kml", ".gml", ".osm", ".pbf")


@contextmanager
def unpack(
    path: Path, limit_bytes: int = UnpackLimits.max_bytes, plausible_bytes: int = UnpackLimits.plausible_bytes
) -> Iterator[Path]:
    """Provide the file, or the file that it contains, within the context; InputError if damaged, too large or ambiguous."""
    head = b"" if path.is_dir() else read_head(path)
    packed = head.startswith((b"BZh", b"\x1f\x8b", b"PK\x03\x04"))
    if not packed:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            if head.startswith(b"PK"):
                inner = _unzip(path, Path(folder), limit_bytes, plausible_bytes)
            else:
                inner = Path(folder) / (path.stem or "unpacked")
                opener: Any = bz2.open if head.startswith(b"BZh") else gzip.open
                with opener(path) as file:
                    _copy(file, inner, path, limit_bytes, plausible_bytes)
        except ARCHIVE_ERRORS as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} could not be unpacked: {error}. Is it whole?") from error
        yield inner


def check_array_sizes(
    path: Path, limit_bytes: int = UnpackLimits.max_bytes, plausible_bytes: int = UnpackLimits.plausible_bytes
) -> None:
    """Refuse a ZIP of arrays whose headers, also in archives within, announce too much or more than they hold."""
    with zipfile.ZipFile(path) as archive:
        _check_members(archive, path, limit_bytes, plausible_bytes)


def _check_members(archive: zipfile.ZipFile, path: Path, limit_bytes: int, plausible_bytes: int) -> None:
    members = archive.infolist()
    unpacked_bytes = sum(item.file_size for item in members)
    check_unpacked_size(path, unpacked_bytes, path.stat().st_size, limit_bytes, plausible_bytes)
    for item in members:
        if item.filename.endswith(".npy"):
            with archive.open(item) as file:
                shape, _, dtype = read_npy_header(file)
            if (announced := math.prod(shape) * dtype.itemsize) > item.file_size:
                raise InputError(
                    f"{path} holds an array, {item.filename}, that announces {announced:,} bytes and has "
                    f"{item.file_size:,}. It is damaged, or not to be trusted."
                )
        elif item.filename.endswith((".npz", ".zip")):
            with archive.open(item) as file, zipfile.ZipFile(io.BytesIO(file.read())) as inner:
                _check_members(inner, path, limit_bytes, plausible_bytes)


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first axis runs fastest, and type of a .npy file, which is then at its numbers."""
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, in_columns, dtype = reader(file)
    return shape, in_columns, dtype


def check_unpacked_size(
    path: Path,
    unpacked_bytes: int,
    packed_bytes: int,
    limit_bytes: int = UnpackLimits.max_bytes,
    plausible_bytes: int = UnpackLimits.plausible_bytes,
) -> None:
    """Refuse content larger than the limit, or that no honest packing makes so small. Errors: InputError."""
    times = unpacked_bytes / max(packed_bytes, 1)
    if unpacked_bytes > limit_bytes:
        problem = f"more than {limit_bytes:,} bytes"
    elif unpacked_bytes > plausible_bytes and times > UnpackLimits.max_times_larger:
        problem = f"{unpacked_bytes:,} bytes or more from {packed_bytes:,}"
    else:
        return
    raise InputError(
        f"{path} unpacks to {problem}. Unpack it yourself where you trust it, and cut out the area needed."
    )


def _copy(source: IO[bytes], target: Path, path: Path, limit_bytes: int, plausible_bytes: int) -> None:
    written, packed_bytes = 0, path.stat().st_size
    with target.open("wb") as file:
        while chunk := source.read(CHUNK_BYTES):
            written += len(chunk)
            check_unpacked_size(path, written, packed_bytes, limit_bytes, plausible_bytes)
            file.write(chunk)


def _unzip(path: Path, folder: Path, limit_bytes: int, plausible_bytes: int) -> Path:
    """All members next to each other as they were; the one that is read."""
    with zipfile.ZipFile(path) as archive:
        members = [item for item in archive.infolist() if not item.is_dir()]
        if len(members) > MAX_FILES:
            raise InputError(f"{path} holds {len(members):,} files, more than {MAX_FILES:,}. Unpack it yourself.")
        unpacked_bytes = sum(item.file_size for item in members)
        check_unpacked_size(path, unpacked_bytes, path.stat().st_size, limit_bytes, plausible_bytes)
        for item in members:  # zipfile reads no more than is declared, and keeps names inside the folder
            archive.extract(item, folder)
    readable = sorted(item for item in folder.rglob("*") if item.is_file() and item.suffix.lower() in READABLE)
    readable += sorted(item for item in folder.rglob("*.gdb") if item.is_dir())
    if len(readable) != 1:
        names = ", ".join(str(item.relative_to(folder)) for item in readable) or "none"
        raise InputError(f"{path} should hold one vector file ({', '.join(READABLE)}), it holds {names}. Unpack it.")
    return readable[0]
