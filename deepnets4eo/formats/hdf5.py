"""Arrays of HDF5 files, MATLAB files of version 7.3 and HDF-EOS 5 among them, read by window, axes as MATLAB shows them.

Refuses data sets in other files (external, virtual) and chunks that unpack to too much; links are not followed.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.files import ARCHIVE_ERRORS
from deepnets4eo.formats.array_info import ArrayInfo, damage_errors, is_number
from deepnets4eo.formats.cf_words import CF_WORDS, CFWords
from deepnets4eo.formats.drivers import read_head
from deepnets4eo.formats.unpacking import UnpackLimits

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MATLAB_BLOCK_BYTES = 512  # bytes of MATLAB's own header before the signature
MATLAB = b"MATLAB 7.3"
MAX_CHUNK_BYTES = 1 << 30
MAX_DECLARED_BYTES, MAX_TIMES_STORED = 4 << 30, 2000  # zlib makes at most 1032 bytes of one
MAX_ARRAYS = 10_000
INTERNAL = "#"  # groups of MATLAB's own: #refs#, #subsystem#


def is_hdf5(head: bytes) -> bool:
    """Return whether a file with these first bytes (at least 520) is an HDF5 file."""
    return head.startswith(SIGNATURE) or head[MATLAB_BLOCK_BYTES:].startswith(SIGNATURE)


def list_arrays(path: Path) -> list[ArrayInfo]:
    """All data sets, groups joined by "/"; reads no numbers. Errors: InputError for a damaged file."""
    import h5py

    arrays: list[ArrayInfo] = []

    def add(name: str, item: Any) -> object:
        if isinstance(item, h5py.Dataset) and not name.startswith(INTERNAL):
            arrays.append(_describe(name, item, _written_by_matlab(path, item)))
        return True if len(arrays) >= MAX_ARRAYS else None

    with damage_errors(path), h5py.File(path, "r") as file:
        file.visititems(add)
    return arrays


def open_array(path: Path, name: str) -> Any:
    """Open one data set, which is read when it is indexed; InputError for external data, large chunks and damage."""
    import h5py

    with damage_errors(path):
        data = h5py.File(path, "r")[name]
        if data.external or data.is_virtual:
            raise InputError(f"{path}: {name} lies in other files, which are not opened. Copy it into one file.")
        _check_chunks(path, name, data)
        _check_written(path, name, data)
        if _written_by_matlab(path, data):
            return _Reversed(data)
        words = CFWords(_cf_attributes(data), data.dtype, name)
        return data if words.number_dtype == data.dtype else _Meant(data, words.number_dtype)


def _check_chunks(path: Path, name: str, data: Any) -> None:
    """Refuse large chunks (InputError): each is unpacked whole for every window that touches it."""
    chunk_bytes = math.prod(data.chunks or ()) * data.dtype.itemsize
    if chunk_bytes <= UnpackLimits.plausible_bytes:
        return
    limit, what = MAX_CHUNK_BYTES, f"more than {MAX_CHUNK_BYTES:,}"
    if data.id.get_num_chunks():
        packed_bytes = data.id.get_storage_size() // data.id.get_num_chunks()
        limit = min(limit, max(UnpackLimits.max_times_larger * packed_bytes, UnpackLimits.plausible_bytes))
        what = what if limit == MAX_CHUNK_BYTES else f"packed to {packed_bytes:,}"
    if chunk_bytes > limit:
        raise InputError(
            f"{path}: {name} has chunks of {chunk_bytes:,} bytes, {what}; each is unpacked whole. Write it with smaller chunks "
            "where you trust it: h5repack -l CHUNK=…"
        )


def _check_written(path: Path, name: str, data: Any) -> None:
    """Refuse (InputError) a large array that is hardly written: its fill values would be read for days."""
    declared, stored = math.prod(data.shape) * data.dtype.itemsize, data.id.get_storage_size()
    if declared > max(MAX_DECLARED_BYTES, MAX_TIMES_STORED * stored):
        raise InputError(
            f"{path}: {name} of shape {data.shape} would be {declared:,} bytes, and the file holds {stored:,} of it; expected at least one "
            f"in {MAX_TIMES_STORED:,}. Write the part that has values into an array of its own size."
        )


class _Reversed:
    def __init__(self, data: Any) -> None:
        self._data = data
        self.shape, self.dtype, self.ndim = data.shape[::-1], data.dtype, data.ndim

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        values: NDArray[Any] = self._data[tuple(reversed(key))]
        return values.T


class _Meant:
    """Whole numbers whose type is stated separately, see `CFWords.number_dtype`."""

    def __init__(self, data: Any, dtype: np.dtype[Any]) -> None:
        self._data, self.dtype, self.shape, self.ndim = data, dtype, data.shape, data.ndim

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        values: NDArray[Any] = self._data[key]
        return values.view(self.dtype)


def _written_by_matlab(path: Path, data: Any) -> bool:
    return "MATLAB_class" in data.attrs or read_head(path, len(MATLAB)) == MATLAB


def _describe(name: str, data: Any, reverse: bool) -> ArrayInfo:
    try:
        shape, dtype = data.shape, data.dtype
    except ARCHIVE_ERRORS:  # a type that NumPy does not have
        return ArrayInfo(name, (), None, "of a type that is not read")
    if shape is None:
        return ArrayInfo(name, (), None, "empty")
    shape = shape[::-1] if reverse else shape
    kind = _text(data.attrs.get("MATLAB_class", b""))
    if not is_number(np.dtype(dtype)) or kind == "char" or "MATLAB_empty" in data.attrs:
        return ArrayInfo(name, shape, None, kind or str(dtype))
    words = CFWords(_cf_attributes(data), np.dtype(dtype), name)
    return ArrayInfo(name, shape, words.number_dtype, words=words)


def _cf_attributes(data: Any) -> dict[str, Any]:
    """Return the attributes of the CF conventions; one of a type that NumPy does not have is kept as its name."""
    import h5py

    words = {}
    for key in sorted(CF_WORDS & set(data.attrs)):
        try:
            value = data.attrs[key]
        except ARCHIVE_ERRORS:
            value = "of a type that is not read"
        if not isinstance(value, h5py.Empty):
            words[key] = value
    return words


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
