"""Files of arrays as images: MATLAB, HDF5 and NumPy. One array is chosen by name, and its axes become bands, rows, columns.

Takes `FILE`, `FILE#NAME`, or `FILE#NAME:AXES`, axes in order: b bands, h rows, w columns, t dates.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError, Reading, name_hint
from deepnets4eo.formats import hdf5, mat5, numpy_files
from deepnets4eo.formats.array_info import ArrayFormat, ArrayInfo, damage_errors
from deepnets4eo.formats.declared import Declared
from deepnets4eo.formats.drivers import read_head
from deepnets4eo.formats.wavelengths import to_nm

AXES = {2: "hw", 3: "hwb", 4: "thwb"}  # the last as eo-learn has it
BANDS_AT = ("bhw", "hbw", "hwb")  # where the bands are the first, second, third axis

log = logging.getLogger(__name__)

HEAD_BYTES = 1024
SUFFIXES = {".mat", ".h5", ".hdf5", ".hdf", ".he5", ".nc", ".npy", ".npz"}
MAX_LISTED = 20
WAVELENGTHS = ("wav", "wvl", "lambda", "centralwave", "centerwave", "bandcent")  # what arrays of them begin with
MAX_FOLDED_BYTES = 4 << 30
MAX_WAVELENGTHS = 100_000
_MATLAB5 = ArrayFormat("MATLAB 5", True, mat5.list_arrays, mat5.open_array)
_MATLAB7 = ArrayFormat("MATLAB 7.3", True, hdf5.list_arrays, hdf5.open_array)
_HDF5 = ArrayFormat("HDF5", False, hdf5.list_arrays, hdf5.open_array)
_NPY = ArrayFormat("NumPy", False, numpy_files.list_npy, numpy_files.open_npy)
_NPZ = ArrayFormat("NumPy archive", False, numpy_files.list_npz, numpy_files.open_npz)


@dataclass(frozen=True)
class ArrayReference:
    """Reference to an array of a file, as the user wrote it; name and axes may be empty."""

    path: Path
    name: str = ""
    axes: str = ""


@dataclass(frozen=True)
class ImageArray:
    """One array of a file, read as an image: `axes` b, h, w; `guess`: the reason for axes that the file does not state."""

    path: Path
    info: ArrayInfo
    array: Any
    axes: str
    guess: str = ""
    wavelengths_nm: tuple[float, ...] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (B, H, W)."""
        sizes = dict(zip(self.axes, self.array.shape, strict=True))
        return sizes.get("t", 1) * sizes.get("b", 1), sizes["h"], sizes["w"]

    @property
    def declared(self) -> Declared:
        """Return the properties that the file declares for the array. Raises InputError for words that are not numbers."""
        count, name = self.shape[0], f"{self.path}#{self.info.name}"
        words = self.info.words
        declared = Declared.plain(name, count) if words is None else Declared(name, words.bands(count))
        if self.wavelengths_nm:
            declared = declared.with_bands(wavelength_nm=self.wavelengths_nm)
        declared.check_values()
        return declared

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values as read: truth values as bytes, in this computer's order of bytes."""
        dtype = np.dtype(self.array.dtype).newbyteorder("=")
        return np.dtype({"b": "uint8", "e": "float32"}.get(dtype.char if dtype.char == "e" else dtype.kind, dtype))

    @property
    def reference(self) -> str:
        """`FILE#NAME:AXES`, which opens the same again."""
        return f"{self.path}#{self.info.name}:{self.axes}"

    def with_axes(self, axes: str) -> ImageArray:
        """Return the array with its axes read in another order."""
        return replace(self, axes=axes, guess="")

    def read(self, bands: Sequence[int], rows: slice, cols: slice) -> NDArray[Any]:
        """Values (C, h, w) of bands (0-based) in a window; reads no more, or whole chunks."""
        sizes = dict(zip(self.axes, self.array.shape, strict=True))
        each = sizes.get("b", 1) if "t" in sizes else 1  # bands of a date
        first, last = min(bands) // each, max(bands) // each + 1
        index = {"b": slice(first, last), "h": rows, "w": cols}
        index |= {"t": slice(first, last), "b": slice(None)} if "t" in sizes else {}
        low, high = first * each, last * each
        with damage_errors(self.path):
            values = np.asarray(self.array[tuple(index[letter] for letter in self.axes)])
        order = [self.axes.index(letter) for letter in "tbhw" if letter in self.axes]
        values = values.transpose(order)
        values = values.reshape(-1, *values.shape[-2:])
        if list(bands) != list(range(low, high)):
            values = values[[band - low for band in bands]]
        return np.ascontiguousarray(values, self.dtype)


def is_array_file(path: Path) -> bool:
    """Return whether a file is in one of the array formats, by its suffix and its first bytes."""
    return path.suffix.lower() in SUFFIXES and path.is_file() and _format(path) is not None


def parse_reference(text: str) -> ArrayReference | None:
    """Return the array that a text refers to; None for no file of arrays; InputError for axes other than b, h and w."""
    if is_array_file(Path(text)):
        return ArrayReference(Path(text))
    file, mark, name = text.rpartition("#")
    if not mark or not is_array_file(Path(file)):
        return None
    name, axes = split_axes(name, text)
    return ArrayReference(Path(file), name, axes)


def list_arrays(path: Path) -> list[ArrayInfo]:
    """All arrays of a file; reads no values. Errors: InputError for other files, and damaged ones."""
    kind = _format(path)
    if kind is None:
        raise InputError(f"{path} is no file of arrays. Read are MATLAB .mat, HDF5, NumPy .npy and .npz.")
    status = path.stat()
    return list(_listed(path, status.st_mtime_ns, status.st_size))


@Reading.of_source("Is it whole? Copy it again.")
def open_array(reference: ArrayReference, *, labels: bool = False) -> ImageArray:
    """Open an array, without a name the only one that can be meant (`labels`: with two axes); else InputError lists all."""
    path, arrays = reference.path, list_arrays(reference.path)
    kind = _format(path)
    assert kind is not None
    sizes = _pixel_list_sizes(path, arrays, kind)
    if reference.name:
        info = _named(path, arrays, reference.name)
    else:
        info = _only(path, arrays, sizes, labels)
    array = kind.open_array(path, info.name)
    if sizes and sizes[0] * sizes[1] in array.shape and array.ndim == 2 and not reference.axes:
        array, axes = _unfold(path, array, sizes)
        return ImageArray(path, info, array, axes, "", _wavelengths(path, arrays, kind, array.shape[axes.index("b")]))
    counts = [math.prod(entry.shape) for entry in arrays if _names_wavelengths(entry)]
    axes, guess = (
        (reference.axes, "") if reference.axes else guess_axes(array.shape, counts, rows_first=kind.rows_first)
    )
    if len(axes) != array.ndim:
        raise InputError(f"{path}#{info} has {array.ndim} axes, but {axes!r} names {len(axes)}. Name each.")
    if guess:
        _log_guess(f"{path}#{info.name}", array.shape, axes, guess)
    image = ImageArray(path, info, array, axes, guess)
    return replace(image, wavelengths_nm=_wavelengths(path, arrays, kind, image.shape[0]) if "b" in axes else None)


def other_axes(image: ImageArray, shape: tuple[int, int]) -> str | None:
    """Return the nearest order of axes that gives rows and columns the sizes `shape`, or None if there is none."""
    return next((axes for axes in all_axes(image.axes) if image.with_axes(axes).shape[1:] == tuple(shape)), None)


def _format(path: Path) -> ArrayFormat | None:
    head = read_head(path, HEAD_BYTES)
    if head.startswith(numpy_files.MAGIC):
        return _NPY
    if head.startswith(b"PK\x03\x04") and path.suffix.lower() == ".npz":
        return _NPZ
    if mat5.is_mat5(head):
        return _MATLAB5
    if hdf5.is_hdf5(head):
        return _MATLAB7 if head.startswith(hdf5.MATLAB) else _HDF5
    return None


@lru_cache(maxsize=256)
def _listed(path: Path, mtime_ns: int, size: int) -> tuple[ArrayInfo, ...]:
    kind = _format(path)
    assert kind is not None
    return tuple(kind.list_arrays(path))


@lru_cache(maxsize=256)
def _log_guess(name: str, shape: tuple[int, ...], axes: str, guess: str) -> None:
    """Log a guess once per file, since each thread opens the file separately."""
    words = {"b": "bands", "h": "rows", "w": "columns", "t": "dates"}
    order = ", ".join(words[letter] for letter in axes)
    log.warning(
        "%s has the shape %s, read as %s: %s. If it is another order, name it, e.g. %s:%s.",
        name, shape, order, guess, name, "hwb" if axes != "hwb" else "bhw",
    )  # fmt: skip


def _named(path: Path, arrays: Sequence[ArrayInfo], name: str) -> ArrayInfo:
    for info in arrays:
        if info.name.strip("/") == name.strip("/"):
            if info.dtype is None or len(info.shape) not in AXES or 0 in info.shape:
                raise InputError(
                    f"{path}#{info} is no image: expected two or three axes of numbers, or four with dates. {_list(arrays)}"
                )
            return info
    names = [info.name for info in arrays]
    raise InputError(f"{path} has no array {name!r}. {name_hint(name, names, '')} {_list(arrays)}".replace("  ", " "))


def _only(path: Path, arrays: Sequence[ArrayInfo], sizes: tuple[int, int, int] | None, labels: bool) -> ArrayInfo:
    numbers = [info for info in arrays if info.dtype is not None and 0 not in info.shape]
    cubes = [info for info in numbers if len(info.shape) == 3]
    planes = [info for info in numbers if len(info.shape) == 2 and min(info.shape) > 1]
    lists = [info for info in planes if sizes and sorted(info.shape) == sorted((sizes[2], sizes[0] * sizes[1]))]
    rest = [info for info in numbers if len(info.shape) == 2 and max(info.shape) > 1]
    series = [info for info in numbers if len(info.shape) == 4]
    for choice in (planes, cubes, rest) if labels else (cubes, lists, planes, rest, series):
        if len(choice) == 1:
            return choice[0]
        if choice:
            break
    raise InputError(f"{path} does not state which of its arrays to read. Name one: {path}#NAME. {_list(arrays)}")


def _list(arrays: Sequence[ArrayInfo]) -> str:
    more = f", and {len(arrays) - MAX_LISTED} more" if len(arrays) > MAX_LISTED else ""
    return f"It holds {', '.join(map(str, arrays[:MAX_LISTED])) or 'none'}{more}."


def _whole(path: Path, info: ArrayInfo, kind: ArrayFormat) -> NDArray[Any]:
    if math.prod(info.shape) > MAX_WAVELENGTHS:
        raise InputError(f"{path}#{info} has more than {MAX_WAVELENGTHS:,} values. Rename it.")
    return np.asarray(kind.open_array(path, info.name)[(slice(None),) * len(info.shape)])


def _names_wavelengths(info: ArrayInfo) -> bool:
    name = "".join(letter for letter in info.name.rpartition("/")[2].lower() if letter.isalnum())
    return info.dtype is not None and (name.startswith(WAVELENGTHS) or name == "wl") and max(info.shape, default=0) > 1


def _wavelengths(path: Path, arrays: Sequence[ArrayInfo], kind: ArrayFormat, count: int) -> tuple[float, ...] | None:
    for info in arrays:
        if _names_wavelengths(info) and math.prod(info.shape) == count <= MAX_WAVELENGTHS:
            values = to_nm(_whole(path, info, kind), info.units)
            if values is not None:
                return tuple(values.tolist())
    return None


def _pixel_list_sizes(path: Path, arrays: Sequence[ArrayInfo], kind: ArrayFormat) -> tuple[int, int, int] | None:
    """Rows, columns and bands where a file states them as nRow, nCol and nBand, as files for unmixing do."""
    scalars = {info.name: info for info in arrays if info.dtype is not None and math.prod(info.shape) == 1}
    if not {"nRow", "nCol", "nBand"} <= scalars.keys():
        return None
    values = [np.ravel(_whole(path, scalars[name], kind))[0] for name in ("nRow", "nCol", "nBand")]
    rows, cols, bands = (int(value) if np.isfinite(value) else 0 for value in values)
    return (rows, cols, bands) if min(rows, cols, bands) > 0 else None


def _unfold(path: Path, array: Any, sizes: tuple[int, int, int]) -> tuple[NDArray[Any], str]:
    """Reshape a list of pixels, stored column by column as in MATLAB, to an image, and return it with its axes."""
    rows, cols, _ = sizes
    if math.prod(array.shape) * array.dtype.itemsize > MAX_FOLDED_BYTES:
        raise InputError(f"{path} is a list of pixels of more than {MAX_FOLDED_BYTES:,} bytes. Write it as a cube.")
    values = np.asarray(array[:, :])
    if values.shape[1] == rows * cols:
        return values.reshape((-1, rows, cols), order="F"), "bhw"
    return values.reshape((rows, cols, -1), order="F"), "hwb"


def guess_axes(shape: Sequence[int], wavelengths: Sequence[int], *, rows_first: bool) -> tuple[str, str]:
    """Return letters of two or three axes, and the reason if they are a guess.

    In this order: as many bands as wavelengths; two equal axes are rows and columns; the shortest axis is bands.

    >>> guess_axes((145, 145, 200), [], rows_first=False)
    ('hwb', '')
    >>> guess_axes((610, 340, 103), [], rows_first=False)
    ('hwb', 'the shortest axis is read as the bands')
    """
    if len(shape) != 3 or rows_first:
        return AXES[len(shape)], ""
    counted = [axis for axis in range(3) if shape[axis] in wavelengths]
    if len(counted) == 1:
        return BANDS_AT[counted[0]], ""
    if len(set(shape)) == 2:
        return BANDS_AT[next(axis for axis in range(3) if list(shape).count(shape[axis]) == 1)], ""
    return BANDS_AT[list(shape).index(min(shape))], "the shortest axis is read as the bands"


def split_axes(name: str, text: str) -> tuple[str, str]:
    """Split `NAME:AXES` into name and axes; the axes are empty if they are not named. Errors: InputError for other letters.

    >>> split_axes("cube:bhw", "")
    ('cube', 'bhw')
    """
    before, mark, axes = name.rpartition(":")
    if not mark:
        return name, ""
    if "".join(sorted(axes)) not in ("bhw", "hw", "htw", "bhtw"):
        raise InputError(
            f"{text} names the axes {axes!r}, expected b (bands), h (rows), w (columns), t (dates) once each, e.g. hwb."
        )
    return before, axes


def all_axes(axes: str) -> list[str]:
    """Return all orders of the same letters, the present order first, then the orders that keep the position of the bands."""
    orders = ["".join(order) for order in permutations(sorted(axes))]
    return sorted(orders, key=lambda order: (order != axes, order.find("b") != axes.find("b")))
