"""PLY and PCD files through open3d, read whole: some 100 bytes a point.

open3d skips properties of PLY files whose types it has no name for, as 16-bit colours: it reads a copy that names them otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
import open3d
from numpy.typing import NDArray
from pyproj import CRS

from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.files.cloud_file import CloudFile, as_bytes, as_intensity, holds_bytes, to_bytes

MAGIC = {".ply": (b"ply",), ".pcd": (b"# .PCD", b"VERSION", b"#")}
INTENSITIES = ("intensity", "intensities", "scalar_intensity", "reflectance")
CLASSES = ("classification", "class", "scalar_classification")
LABELS = ("label", "labels", "scalar_label")  # of lists of classes of their own, in which 7 is no noise
# types of PLY that open3d skips → one of the same size that it reads, and the one that the bytes are of
SKIPPED = {
    "char": ("uint8", np.int8), "int8": ("uint8", np.int8), "short": ("uint16", np.int16), "int16": ("uint16", np.int16),
    "ushort": ("uint16", np.uint16), "uint": ("int32", np.uint32), "uint32": ("int32", np.uint32),
}  # fmt: skip
IN_TEXT = "int32"  # where numbers are written out, their size does not matter
MOST_HEADER_LINES, MOST_LINE_BYTES, MOST_WORD_BYTES = (
    10_000,
    1000,
    255,
)  # longer lines and words end the process in open3d
REMARKS = ([b"comment"], [b"obj_info"])
COLOURS = {"red", "green", "blue"}
WORD = 65_535


class Open3dFile(CloudFile):
    """A PLY or PCD file with the CRS that these formats do not hold. Raises InputError where it is of another format."""

    def __init__(self, path: Path, crs: CRS | None = None) -> None:
        super().__init__(path, crs)
        suffix = path.suffix.lower()
        self.point_format = suffix[1:].upper()
        with path.open("rb") as file:
            begins = file.read(16)
        if not begins.startswith(MAGIC[suffix]):
            raise InputError(f"{path} is no {self.point_format} file: it begins with {begins[:8]!r}. Check the file.")

    @property
    def point_count(self) -> int:
        """Number of points."""
        return len(self._cloud.xyz) if self._cloud is not None else 0

    @property
    def measurements(self) -> tuple[str, ...]:
        """What the file holds beside the coordinates."""
        return tuple(self._cloud.measurements()) if self._cloud is not None else ()

    @property
    def file_bounds(self) -> NDArray[np.float64]:
        """(2, 3) least and greatest coordinates."""
        if self._cloud is None:
            return np.array([[np.inf] * 3, [-np.inf] * 3])
        return np.array([self._cloud.xyz.min(axis=0), self._cloud.xyz.max(axis=0)])

    def stored_chunks(self, points: int) -> Iterator[PointCloud]:
        """Yields chunks with the coordinates of the file."""
        assert self._cloud is not None  # `chunks` has refused files without points
        for start in range(0, len(self._cloud), points):
            yield self._cloud.subset(np.arange(start, min(start + points, len(self._cloud))))

    @cached_property
    def _cloud(self) -> PointCloud | None:
        """All points in the units of the file; None without any."""
        try:
            with (
                open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error),
                _with_known_types(self.path) as (path, kinds),
            ):
                tensors = open3d.t.io.read_point_cloud(path).point
            values = {str(name).lower(): tensors[name].numpy() for name in tensors}
            values |= {name: values[name].view(kind) for name, kind in kinds.items() if name in values}
        except InputError:  # a ValueError, and says all itself
            raise
        except (
            RuntimeError,
            MemoryError,
            ValueError,
            TypeError,
            KeyError,
        ) as error:  # the last: names and types that NumPy lacks
            raise InputError(f"{self.path} cannot be read ({' '.join(str(error).split())[:200]}).") from error
        positions = values.pop("positions", np.zeros((0, 3)))
        if not len(positions):
            return None
        colours, source = values.get("colors"), str(self.path)
        self.asprs = _first(values, CLASSES) is not None
        return PointCloud(
            positions.astype(np.float64),
            colour=None if colours is None else _colour_bytes(colours, source),
            intensity=as_intensity(_first(values, INTENSITIES)),
            classification=None
            if (classes := _first(values, (*CLASSES, *LABELS))) is None
            else as_bytes(classes, "classes", source),
            source=source,
        )


def _first(values: dict[str, NDArray[Any]], names: tuple[str, ...]) -> NDArray[Any] | None:
    return next((values[name].reshape(len(values[name]), -1)[:, 0] for name in names if name in values), None)


def _colour_bytes(colours: NDArray[Any], source: str) -> NDArray[np.uint8]:
    """Returns colours as 8 bit; floats are 0–1 in these formats, other numbers may be of 16 bit."""
    if colours.dtype.kind == "f":
        colours = np.round(np.nan_to_num(colours) * 255)
    elif colours.dtype.itemsize > 1 and colours.min() >= 0 and colours.max() <= WORD:
        return to_bytes(colours[:, :3].astype(np.uint16), are_bytes=holds_bytes(colours[:, :3]))
    return as_bytes(colours[:, :3], "colours", source)


@contextmanager
def _with_known_types(path: Path) -> Iterator[tuple[Path, dict[str, type]]]:
    """The file, or a copy for as long as it is read whose header names types that open3d knows, and the true types."""
    if path.suffix.lower() != ".ply":
        yield path, {}
        return
    with path.open("rb") as file:
        header = _header(file)
        _check_lengths(path, header)
        known, kinds = _known_types(header)
        if known == header:
            yield path, {}
            return
        with TemporaryDirectory(prefix=".deepnets4eo-ply-") as folder:
            copy = Path(folder) / "copy.ply"
            with copy.open("wb") as out:
                out.writelines(known)
                copyfileobj(file, out)
            yield copy, kinds


def _header(file: BinaryIO) -> list[bytes]:
    """The lines up to end_header, as far as there is one."""
    lines: list[bytes] = []
    while len(lines) < MOST_HEADER_LINES and (line := file.readline(MOST_LINE_BYTES)):
        lines.append(line)
        if line.split() == [b"end_header"]:
            break
    return lines


def _check_lengths(path: Path, header: list[bytes]) -> None:
    """Refuse headers that end the process in open3d. Errors: InputError."""
    for line in header:
        words = [] if line.split()[:1] in REMARKS else line.split()
        if len(line) >= MOST_LINE_BYTES or any(len(word) > MOST_WORD_BYTES for word in words):
            raise InputError(
                f"{path} has a line in its header that begins with {line[:40]!r}; expected lines of less than {MOST_LINE_BYTES} bytes and "
                f"words of at most {MOST_WORD_BYTES}. Is it a PLY file? Write it again with short names."
            )


def _known_types(header: list[bytes]) -> tuple[list[bytes], dict[str, type]]:
    """The header with types that open3d knows, and the true types of the arrays that it makes of them."""
    lines, kinds, binary = [], dict[str, type](), True
    for line in header:
        words = line.decode("latin-1").split()
        binary = binary and words[:2] != ["format", "ascii"]
        if len(words) == 3 and words[0] == "property" and words[1] in SKIPPED:
            known, kind = SKIPPED[words[1]]
            if binary:
                kinds["colors" if words[2] in COLOURS else words[2].lower()] = kind
            line = f"property {known if binary else IN_TEXT} {words[2]}\n".encode("latin-1")
        lines.append(line)
    return lines, kinds
