"""PCD files of the Point Cloud Library, version 0.7 and before: text, binary, and binary compressed by LZF (extra `points`).

All fields are read under the names that PLY uses, colours from `rgb` or `rgba`. Memory: one chunk; of compressed files
all points, which may take 64 MB, or 20 times their file.

Points whose coordinates are NaN are withheld: organised clouds have them where nothing was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from deepnets4eo.errors import InputError
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.files.cloud_file import CHUNK_POINTS, CloudFile
from deepnets4eo.points.files.ply import Columns, PlyFile

TEXT, BINARY, COMPRESSED = "ascii", "binary", "binary_compressed"
KINDS = {"F": "<f", "U": "<u", "I": "<i"}
PACKED = ("rgb", "rgba")  # 0x00RRGGBB, as a whole number or in the bits of a float
MAX_LINES, MAX_LINE_BYTES, MAX_COLUMNS = 100, 10_000, 4096
MAX_GAIN = 90  # LZF makes at most 264 bytes of 3
MAX_USUAL_GAIN, SMALL_BYTES = 20, 64 << 20  # coordinates pack to a third; only small files may be packed more


class PcdFile(PlyFile):
    """A PCD file. Raises InputError for a header that states no fields of numbers, and for a truncated file."""

    point_format = "PCD"

    def __init__(self, path: Path, crs: CRS | None = None) -> None:
        CloudFile.__init__(self, path, crs)
        with path.open("rb") as file:
            header = self._read_header(file)
            self._start = file.tell()
        try:
            sizes, counts = ([int(word) for word in header[key]] for key in ("SIZE", "COUNT"))
            self._count = int(header["POINTS"][0])
            codes = [KINDS[kind] + str(size) for kind, size in zip(header["TYPE"], sizes, strict=True)]
            if min(counts) < 1 or sum(counts) > MAX_COLUMNS or self._count < 0:
                raise ValueError(f"{sum(counts):,} columns, {self._count:,} points")
            names = [name.lower() for name in header["FIELDS"]]
            self._blocks = [
                (code, [name if count == 1 and name != "_" else f"{name}:{field}:{column}" for column in range(count)])
                for field, (name, code, count) in enumerate(zip(names, codes, counts, strict=True))
            ]  # a field of the file → its columns
            self._dtype = np.dtype([(name, code) for code, columns in self._blocks for name in columns])
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise InputError(f"{path} cannot be read: its header describes no fields of numbers ({error}).") from error
        self._form = header["DATA"][0].lower() if header["DATA"] else ""
        if self._form not in (TEXT, BINARY, COMPRESSED) or not {"x", "y", "z"} <= set(self._names):
            raise InputError(
                f"{path} cannot be read: expected the fields x, y and z, and DATA {TEXT}, {BINARY} or {COMPRESSED}; got "
                f"{' '.join(names)}, and DATA {self._form}."
            )
        self._text = self._form == TEXT
        if self._form == BINARY and path.stat().st_size - self._start < self._count * self._dtype.itemsize:
            raise self._truncated()
        self.asprs = any(name in self._names for name in Columns.classes)

    @cached_property
    def file_bounds(self) -> NDArray[np.float64]:
        """Return (2, 3) least and greatest coordinates of points that have some."""
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        for rows in self._row_chunks(CHUNK_POINTS):
            xyz = _positions(rows)
            known = xyz[~np.isnan(xyz).any(axis=1)]
            low, high = (
                np.minimum(low, known.min(axis=0, initial=np.inf)),
                np.maximum(high, known.max(axis=0, initial=-np.inf)),
            )
        if self._count and not (low <= high).all():
            raise self._all_withheld()
        return np.array([low, high])

    def _read_header(self, file: BinaryIO) -> dict[str, list[str]]:
        """Return the words behind each key, up to DATA. Errors: InputError for no header of PCD."""
        header: dict[str, list[str]] = {}
        for _ in range(MAX_LINES):
            line = file.readline(MAX_LINE_BYTES)
            key, *words = line.decode("latin-1").partition("#")[0].split() or [""]
            header[key.upper()] = words
            if key.upper() == "DATA":
                return {"COUNT": ["1"] * len(header.get("FIELDS", [])), **header}
            if not line:
                break
        raise InputError(f"{self.path} is no PCD file: its header has no line DATA. Check the file.")

    @cached_property
    def _decompressed(self) -> dict[str, NDArray[Any]]:
        """The columns of all points of a compressed file, which has one field after the other, as views of its bytes."""
        size = self._count * self._dtype.itemsize
        with self.path.open("rb") as file:
            file.seek(self._start)
            sizes = np.fromfile(file, "<u4", 2)
            packed = file.read(int(sizes[0])) if len(sizes) == 2 else b""
        if len(sizes) < 2 or len(packed) < sizes[0] or sizes[1] != size or size > MAX_GAIN * len(packed):
            raise self._truncated()
        if size > max(SMALL_BYTES, MAX_USUAL_GAIN * len(packed)):
            raise InputError(
                f"{self.path} unpacks to {size:,} bytes from {len(packed):,}, more than {MAX_USUAL_GAIN} times. Write it unpacked if you "
                f"trust it: pcl_convert_pcd_ascii_binary {self.path} OUT.pcd 1"
            )
        with name_missing_extra():
            from deepnets4eo.points.files.lzf import decompress_lzf

        values = decompress_lzf(np.frombuffer(packed, np.uint8), size)
        if len(values) < size:
            raise self._truncated()
        fields, start = dict[str, NDArray[Any]](), 0
        for code, columns in self._blocks:
            block = np.frombuffer(values, code, self._count * len(columns), start).reshape(self._count, len(columns))
            start += block.nbytes
            fields |= {name: block[:, column] for column, name in enumerate(columns)}
        return fields

    def _row_chunks(self, points: int) -> Iterator[NDArray[Any]]:
        if self._form == COMPRESSED:
            for start in range(0, self._count, points):
                rows = np.empty(min(points, self._count - start), self._dtype)
                for name, column in self._decompressed.items():
                    rows[name] = column[start : start + points]
                yield rows
        else:
            yield from super()._row_chunks(points)

    def _to_cloud(self, rows: NDArray[Any]) -> PointCloud:
        unknown = np.asarray(np.isnan(_positions(rows)).any(axis=1))
        if unknown.any():
            rows = rows.copy()
            for axis, low in zip("xyz", self.file_bounds[0], strict=True):  # somewhere: they take no part
                rows[axis][unknown] = low
        cloud = replace(super()._to_cloud(rows), withheld=unknown if unknown.any() else None)
        name = next((name for name in PACKED if name in self._names), None)
        return cloud if name is None else replace(cloud, colour=_unpack(rows[name], self._dtype[name]))


def _positions(rows: NDArray[Any]) -> NDArray[np.float64]:
    return np.column_stack([rows[axis] for axis in "xyz"]).astype(np.float64)


def _unpack(values: NDArray[Any], kind: np.dtype[Any]) -> NDArray[np.uint8]:
    """Return (N, 3) colours of packed numbers, whose field is of a kind; numbers of text were read as float64."""
    packed = values.astype(np.float32).view(np.uint32) if kind.kind == "f" else values.astype(np.int64)
    return np.stack([packed >> shift & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)
