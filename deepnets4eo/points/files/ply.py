"""PLY files (Turk 1994), in text or binary of either byte order: the points of the first element, `vertex`, in chunks.

Refuses lists among the properties of a vertex, and files that hold fewer points than their header names. Memory: one chunk."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.files.cloud_file import CHUNK_POINTS, CloudFile, as_bytes, as_intensity, colour_bits, to_bytes

ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
CODES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
RGB = ("red", "green", "blue")


class Columns:
    """Names of columns in files of other programs."""

    intensities: ClassVar[tuple[str, ...]] = ("intensity", "intensities", "scalar_intensity", "reflectance")
    classes: ClassVar[tuple[str, ...]] = ("classification", "class", "scalar_classification")
    labels: ClassVar[tuple[str, ...]] = (
        "label",
        "labels",
        "scalar_label",
    )  # of lists of classes of their own, in which 7 is no noise


MAX_LINES, MAX_LINE_BYTES = 10_000, 1000
WORD = 65_535


class PlyFile(CloudFile):
    """A PLY file. Raises InputError for another format, and for a truncated file."""

    point_format = "PLY"

    def __init__(self, path: Path, crs: CRS | None = None) -> None:
        super().__init__(path, crs)
        self._count, fields = 0, []
        with path.open("rb") as file:
            begins = file.read(16)
            if not begins.startswith(b"ply"):
                raise InputError(f"{path} is no PLY file: it begins with {begins[:8]!r}. Check the file.")
            file.seek(0)
            lines = [line.decode("latin-1").split() for line in self._header_lines(file)]
            self._start = file.tell()
        form = next((words[1] for words in lines if words[:1] == ["format"] and len(words) == 3), "")
        elements = [number for number, words in enumerate(lines) if words[:1] == ["element"]]
        if form not in ORDERS or not elements or lines[elements[0]][1:2] != ["vertex"] or len(lines[elements[0]]) != 3:
            raise InputError(
                f"{path} cannot be read: expected a format of PLY, and points as its first element, vertex."
            )
        try:
            self._count = int(lines[elements[0]][2])
            for _, kind, name in (
                words for words in lines[slice(*(elements + [None])[:2])][1:] if words[0] == "property"
            ):
                fields.append((name.lower(), ORDERS[form] + CODES[kind]))
            self._dtype = np.dtype(fields)
        except (ValueError, KeyError) as error:  # three words; a known type; different names
            raise InputError(
                f"{path} cannot be read: its points have properties that are no numbers ({error})."
            ) from error
        missing = {"x", "y", "z"} - set(self._dtype.names or ())
        if missing or self._count < 0:
            raise InputError(f"{path} cannot be read: its {self._count:,} points have no {', '.join(sorted(missing))}.")
        self._text = form == "ascii"
        if not self._text and path.stat().st_size - self._start < self._count * self._dtype.itemsize:
            raise self._truncated()
        self.asprs = any(name in self._names for name in Columns.classes)

    @property
    def point_count(self) -> int:
        """Number of points."""
        return self._count

    @cached_property
    def measurements(self) -> tuple[str, ...]:
        """Return the measurements in the file in addition to the coordinates."""
        first = next(self.stored_chunks(CHUNK_POINTS), None)
        return () if first is None else tuple(first.measurements())

    @cached_property
    def file_bounds(self) -> NDArray[np.float64]:
        """Return (2, 3) least and greatest coordinates."""
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        for cloud in self.stored_chunks(CHUNK_POINTS):
            low, high = np.minimum(low, cloud.xyz.min(axis=0)), np.maximum(high, cloud.xyz.max(axis=0))
        return np.array([low, high])

    def stored_chunks(self, points: int = CHUNK_POINTS) -> Iterator[PointCloud]:
        """Yield chunks with the coordinates of the file."""
        yield from map(self._to_cloud, self._row_chunks(points))

    def _row_chunks(self, points: int) -> Iterator[NDArray[Any]]:
        with self.path.open("rb") as file:
            file.seek(self._start)
            for start in range(0, self._count, points):
                yield self._rows(file, min(points, self._count - start))

    @property
    def _names(self) -> tuple[str, ...]:
        return self._dtype.names or ()

    @cached_property
    def _colour_bits(self) -> int:
        """Return the number of bits of colours in wider fields, as the first chunk shows."""
        with self.path.open("rb") as file:
            file.seek(self._start)
            rows = self._rows(file, min(CHUNK_POINTS, self._count))
        return colour_bits(np.column_stack([rows[name] for name in RGB]))

    def _header_lines(self, file: Any) -> Iterator[bytes]:
        """Yield the lines up to end_header. Errors: InputError for a line that is too long, or a header without end."""
        for _ in range(MAX_LINES):
            line = file.readline(MAX_LINE_BYTES)
            if len(line) >= MAX_LINE_BYTES:
                raise InputError(
                    f"{self.path} has a line in its header that begins with {line[:40]!r}; expected lines of less than "
                    f"{MAX_LINE_BYTES} bytes. Is it a PLY file?"
                )
            if line.split() == [b"end_header"]:
                return
            if not line:
                break
            if line.split():
                yield line
        raise InputError(f"{self.path} cannot be read: its header has no end. Copy or download it again.")

    def _rows(self, file: Any, count: int) -> NDArray[Any]:
        if not self._text:
            rows = np.fromfile(file, self._dtype, count)
        else:
            try:
                wide = np.loadtxt(file, np.float64, max_rows=count, ndmin=2, encoding="latin-1", comments=None)
                wide = wide.reshape(-1, len(self._names))
            except ValueError as error:
                raise InputError(f"{self.path} cannot be read ({' '.join(str(error).split())[:200]}).") from error
            rows = np.empty(len(wide), [(name, "f8") for name in self._names])
            for column, name in enumerate(self._names):
                rows[name] = wide[:, column]
        if len(rows) < count:
            raise self._truncated()
        return rows

    def _to_cloud(self, rows: NDArray[Any]) -> PointCloud:
        source = str(self.path)
        classes = self._first(rows, (*Columns.classes, *Columns.labels))
        return PointCloud(
            np.column_stack([rows[axis] for axis in "xyz"]).astype(np.float64),
            colour=self._colour(rows) if {*RGB} <= {*self._names} else None,
            intensity=as_intensity(self._first(rows, Columns.intensities)),
            classification=None if classes is None else as_bytes(classes, "classes", source),
            source=source,
        )

    def _colour(self, rows: NDArray[Any]) -> NDArray[np.uint8]:
        """Colours as 8 bit; floats are 0–1 in this format, other numbers may be of 16 bit."""
        colours = np.column_stack([rows[name] for name in RGB])
        kind = self._dtype["red"]
        if kind.kind == "f":
            return as_bytes(np.round(np.nan_to_num(colours) * 255), "colours", str(self.path))
        if kind.itemsize > 1 and colours.min() >= 0 and colours.max() <= WORD:
            return to_bytes(colours.astype(np.uint16), bits=self._colour_bits)
        return as_bytes(colours, "colours", str(self.path))

    def _first(self, rows: NDArray[Any], names: tuple[str, ...]) -> NDArray[Any] | None:
        return next((np.asarray(rows[name]) for name in names if name in self._names), None)

    def _truncated(self) -> InputError:
        return InputError(
            f"{self.path} cannot be read: it holds fewer than the {self._count:,} points that its header names. "
            "Copy or download it again."
        )
