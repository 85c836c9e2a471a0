"""Arrays of NumPy's files: .npy and members of .npz that are not packed are memory-mapped, packed members unpacked.

No pickled objects. Announced sizes are checked before unpacking."""

from __future__ import annotations

import math
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from deepnets4eo.formats.array_info import ArrayInfo, damage_errors, is_number
from deepnets4eo.formats.unpacking import check_unpacked_size, read_npy_header

MAGIC = b"\x93NUMPY"
SUFFIX = ".npy"
MAX_BYTES = 4 << 30
LOCAL_HEADER_BYTES = 30


def list_npy(path: Path) -> list[ArrayInfo]:
    """Return the one array of a .npy file, with the name of the file. Errors: InputError for a damaged file."""
    with damage_errors(path), path.open("rb") as file:
        return [_describe(path.stem, file)[0]]


def open_npy(path: Path, name: str) -> Any:
    """Open the array of a .npy file, memory-mapped. Errors: InputError for a damaged file."""
    with damage_errors(path), path.open("rb") as file:
        info, in_columns = _describe(name, file)
        return _map(path, info, in_columns, file.tell())


def list_npz(path: Path) -> list[ArrayInfo]:
    """All arrays of a .npz file; reads no numbers. Errors: InputError for a damaged file."""
    arrays = []
    with damage_errors(path), zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            if item.filename.endswith(SUFFIX):
                with archive.open(item) as file:
                    arrays.append(_describe(item.filename.removesuffix(SUFFIX), file)[0])
    return arrays


def open_npz(path: Path, name: str) -> Any:
    """One array of a .npz file, mapped or unpacked; InputError for damage and too much to unpack."""
    with damage_errors(path), zipfile.ZipFile(path) as archive:
        item = archive.getinfo(name + SUFFIX)
        with archive.open(item) as file:
            info, in_columns = _describe(name, file)
            header_bytes = file.tell()
            size = math.prod(info.shape) * info.dtype.itemsize if info.dtype is not None else 0
            if header_bytes + size > item.file_size:
                raise ValueError(f"{name} announces {size:,} bytes and has {item.file_size - header_bytes:,}")
            if item.compress_type == zipfile.ZIP_STORED:
                return _map(path, info, in_columns, _data_offset(path, item) + header_bytes)
            check_unpacked_size(path, item.file_size, item.compress_size, MAX_BYTES)
            content = file.read(size)
        order: Any = "F" if in_columns else "C"
        return np.frombuffer(content, info.dtype).reshape(info.shape, order=order)


def _map(path: Path, info: ArrayInfo, in_columns: bool, offset: int) -> Any:
    if info.dtype is None or 0 in info.shape or not info.shape:
        raise ValueError(f"{info} cannot be mapped")
    return np.memmap(path, info.dtype, "r", offset, info.shape, "F" if in_columns else "C")


def _describe(name: str, file: IO[bytes]) -> tuple[ArrayInfo, bool]:
    """Return the array of a .npy file, and whether its first axis runs fastest; see `read_npy_header`."""
    shape, in_columns, dtype = read_npy_header(file)
    if any(size < 0 for size in shape):
        raise ValueError(f"{name} has the shape {shape}")
    readable = is_number(dtype)
    return ArrayInfo(name, shape, dtype if readable else None, "numbers" if readable else str(dtype)), in_columns


def _data_offset(path: Path, item: zipfile.ZipInfo) -> int:
    with path.open("rb") as file:
        file.seek(item.header_offset)
        header = file.read(LOCAL_HEADER_BYTES)
    name_bytes, extra_bytes = struct.unpack("<2H", header[26:30])
    return item.header_offset + LOCAL_HEADER_BYTES + int(name_bytes) + int(extra_bytes)
